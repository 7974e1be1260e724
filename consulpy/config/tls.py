"""The configuration's keys for TLS, as `consulpy.tls` takes them."""

from consulpy.config.schema import RuntimeConfig
from consulpy.tls.settings import TlsSettings

_TLS_SETTING = {"tls_min_version": "min_version", "tls_cipher_suites": "cipher_suites"}


def tls_settings(config: RuntimeConfig) -> TlsSettings:
    """TLS settings. `verify_incoming` applies to RPC and HTTPS; `verify_server_hostname` implies `verify_outgoing`."""
    return TlsSettings(
        ca_file=config.ca_file,
        ca_path=config.ca_path,
        cert_file=config.cert_file,
        key_file=config.key_file,
        verify_incoming_rpc=config.verify_incoming or config.verify_incoming_rpc,
        verify_incoming_https=config.verify_incoming or config.verify_incoming_https,
        verify_outgoing=config.verify_outgoing or config.verify_server_hostname,
        verify_server_hostname=config.verify_server_hostname,
        domain=config.domain,
        min_version=config.tls_min_version,
        cipher_suites=config.tls_cipher_suites,
        prefer_server_cipher_suites=config.tls_prefer_server_cipher_suites,
        https=config.ports.https > 0,
        auto_encrypt=config.auto_encrypt.tls,
        https_own={_TLS_SETTING.get(name, name): value for name, value in config.https_tls.items()},
    )
