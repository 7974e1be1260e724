"""The certificate authority of a secondary datacenter: its key is certified by the root of the primary one.

Leafs are signed here also while the primary datacenter is away. Order and bodies of the log entries: Consul 1.8.7
(docs/wire/connect.md).
"""

import dataclasses
from collections.abc import Callable
from typing import Final

from consulpy.backoff import backoff_s
from consulpy.clock import pause
from consulpy.connect import certificates
from consulpy.connect.keys import key_pem
from consulpy.connect.spiffe import SigningId, authority_name
from consulpy.errors import RPCError
from consulpy.rpc.connect.authority import Authority
from consulpy.rpc.connect.interface import AuthorityHost
from consulpy.rpc.connect.provider import Provider, unique_name
from consulpy.rpc.primary_caller import CallPrimary
from consulpy.structs import connect_ca as structs
from consulpy.structs.connect_ca import CAConfiguration, CARequest, CARoot, CARootsReply, CASignRequest
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import SpecificRequest

#: The pause after a failed call to the primary datacenter, in seconds; it doubles up to the maximum.
RETRY_S: Final = 1.0
RETRY_MAX_S: Final = 30.0
#: Wait of one blocking query for the primary's roots, in seconds; after each, the intermediate's age is checked.
LOOK_S: Final = 600.0
#: The intermediate is renewed after this part of its life.
RENEW_AFTER: Final = 0.5
#: Settings of the root, in lower case, as they are decoded whatever their letter case.
_OF_THE_PRIMARY: Final = ("privatekey", "rootcert")


class SecondaryAuthority(Authority):
    """The CA of a secondary datacenter, on each of its servers. `token()`: the replication token."""

    is_primary = False

    def __init__(
        self,
        host: AuthorityHost,
        initial: CAConfiguration,
        say: Callable[[str, str], None],
        primary: str,
        call_primary: CallPrimary,
        token: Callable[[], str],
    ) -> None:
        super().__init__(host, initial, say)
        self._primary = primary
        self._call_primary = call_primary
        self._token = token

    async def _initialize(self) -> None:
        """Set up as far as possible without the primary datacenter, which may be unreachable."""
        await self._initial_configuration()

    async def _configure(self, request: CARequest) -> None:
        given = request.config or CAConfiguration()
        if any(value and name.lower() in _OF_THE_PRIMARY for name, value in given.settings.items()):
            raise RPCError(f"the root of the CA belongs to the primary datacenter, {self._primary}: change it there")
        now = self._configuration()
        wanted = self._wanted(now, given)
        if wanted is None:
            return
        Provider(self._host, wanted, is_primary=False)
        await self._written(dataclasses.replace(request, op=structs.SET_CONFIG, config=wanted), may_lose=True)

    async def rotate_on_schedule(self) -> None:
        """See `Authority`: the root belongs to the primary datacenter."""

    async def follow(self) -> None:
        """Have the key certified, again after each change of the primary's root, and before the certificate ends."""
        index, failures = 0, 0
        while True:
            try:
                options = QueryOptions(
                    token=self._token(), min_query_index=index, max_query_time=int(LOOK_S * 1e9) if index else 0
                )
                request = SpecificRequest(datacenter=self._primary, options=options)
                roots: CARootsReply = await self._call_primary("ConnectCA.Roots", request)
                await self._locked(self._adopt(roots))
            except RPCError as error:
                failures += 1
                index = 0
                self._say("warn", f"the CA of {self._primary} did not certify the one here yet: {error}")
                await pause(self._host.clock, backoff_s(failures, RETRY_S, RETRY_MAX_S))
                continue
            failures = 0
            if roots.meta.index == index:
                await pause(self._host.clock, RETRY_S)
            index = roots.meta.index

    async def _adopt(self, roots: CARootsReply) -> None:
        """Adopt the active root of the primary datacenter, with a certificate of it for the key here."""
        root = next((each for each in roots.roots or () if each.active), None)
        if root is None or not roots.trust_domain:
            raise RPCError("it has no root yet")
        cluster_id = roots.trust_domain.partition(".")[0]
        stored = self._configuration()
        configuration = dataclasses.replace(stored, cluster_id=cluster_id)
        provider = Provider(self._host, configuration, is_primary=False)
        await provider.set_up()
        state = provider.state
        assert state is not None
        table = self._host.store.connect_ca
        active = table.active_root
        if state.intermediate_cert and active is not None and active.id == root.id and not self._is_old(provider):
            return
        intermediate = await self._certified(provider, root)
        signing = certificates.read_certificate(intermediate)
        fresh = dataclasses.replace(
            root,
            intermediate_certs=[*(root.intermediate_certs or ()), intermediate],
            signing_key_id=certificates.key_id(signing.public_key()),
        )
        index, kept = self._retired(fresh)
        change = CARequest(op=structs.SET_ROOTS_CONFIG, index=index, config=configuration, roots=[*kept, fresh])
        await self._written(change)
        self._say("info", f"the CA of {self._primary} certified the one here")

    async def _certified(self, provider: Provider, root: CARoot) -> str:
        """A new key, and its certificate by the primary's root; both are stored."""
        key = await provider.new_key()
        uri = SigningId(provider.trust_domain).uri
        name = authority_name("sec", unique_name(), provider.trust_domain)
        csr = certificates.make_authority_request(key, name, uri)
        request = CASignRequest(datacenter=self._primary, token=self._token(), csr=csr)
        intermediate: str = await self._call_primary("ConnectCA.SignIntermediate", request)
        certificates.check_issued(intermediate, root.root_cert)
        state = provider.state
        assert state is not None
        # The key comes with its certificate, in one entry: until then the one before it signs.
        await provider.write(
            dataclasses.replace(
                state, private_key=key_pem(key), intermediate_cert=intermediate, root_cert=root.root_cert
            )
        )
        return intermediate

    def _is_old(self, provider: Provider) -> bool:
        certificate = provider.signer().certificate
        begins = certificate.not_valid_before_utc.timestamp()
        life_s = certificate.not_valid_after_utc.timestamp() - begins
        return self._host.wall_s() > begins + RENEW_AFTER * life_s
