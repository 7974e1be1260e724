"""Names of the fields inside of config entries of newer kinds, which are stored without a schema.

Files of entries write them with underscores or in any case, newer servers read the Go names alone. Source:
documentation of config entries of Consul 1.10 to 1.20.
"""

from typing import Any, Final

_NAMES: Final = (
    # mesh
    "MeshDestinationsOnly Incoming Outgoing TLSMinVersion TLSMaxVersion CipherSuites SanitizeXForwardedClientCert "
    "RequestNormalization InsecureDisablePathNormalization MergeSlashes PathWithEscapedSlashesAction "
    "HeadersWithUnderscoresAction PeerThroughMeshGateways "
    # exported-services
    "Name Namespace Consumers Partition Peer SamenessGroup "
    # api-gateway and its routes
    "Hostname Port Protocol TLS Certificates Kind SectionName MaxVersion MinVersion SDS ClusterName CertResource "
    "Override Default JWT Providers VerifyClaims Path Value Filters ResponseFilters Headers Add Set Remove "
    "URLRewrite RetryFilter NumRetries RetryOn RetryOnStatusCodes RetryOnConnectFailure TimeoutFilter "
    "RequestTimeout IdleTimeout Matches Match Method Query Services Weight "
    # jwt-provider
    "Local JWKS Filename Remote URI RequestTimeoutMs CacheDuration FetchAsynchronously RetryPolicy "
    "RetryPolicyBackOff BaseInterval MaxInterval JWKSCluster DiscoveryType TLSCertificates "
    "CaCertificateProviderInstance InstanceName CertificateName TrustedCA EnvironmentVariable InlineString "
    "InlineBytes ConnectTimeout Header ValuePrefix Forward QueryParam Cookie HeaderName PadForwardPayloadHeader "
    "Size"
)
_BY_PLAIN: Final = {name.lower(): name for name in _NAMES.split()}
#: Fields whose keys are names of headers.
_OF_USERS: Final = frozenset({"Add", "Set"})


def with_go_names(value: Any) -> Any:
    """The value with its fields under their Go names; other keys stay, as do those that users choose.

    Of two spellings of one field the Go name counts.
    """
    if isinstance(value, list):
        return [with_go_names(each) for each in value]
    if not isinstance(value, dict):
        return value
    given: dict[str, Any] = value
    found: dict[str, Any] = {}
    for key, each in given.items():
        name = _BY_PLAIN.get(key.replace("_", "").lower(), key)
        if name == key or name not in given:
            found[name] = each if name in _OF_USERS else with_go_names(each)
    return found
