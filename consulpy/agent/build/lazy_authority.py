"""The certificate authority of a server, whose code is imported at its first use.

That takes a fifth of an agent's start. It runs in a thread once the agent listens: HTTP and DNS answer meanwhile, that
there is no leader yet. A leader sets it up first of all, as Consul's does.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from consulpy.config.schema import RuntimeConfig
from consulpy.rpc.connect.interface import CertificateAuthority
from consulpy.rpc.server import Server
from consulpy.structs.connect_ca import CARequest, IssuedCert

_MODULE: Final = "consulpy.agent.build.connect"


class LazyAuthority:
    """See `CertificateAuthority`."""

    def __init__(self, config: RuntimeConfig, server: Server) -> None:
        self._config = config
        self._server = server
        self._made: CertificateAuthority | None = None

    def _authority(self) -> CertificateAuthority:
        if self._made is None:
            from consulpy.agent.build.connect import authority

            self._made = authority(self._config, self._server)
        return self._made

    async def initialize(self) -> None:
        """See `CertificateAuthority`."""
        if _MODULE not in sys.modules:
            await self._server.in_thread(lambda: import_module(_MODULE))
        await self._authority().initialize()

    async def configure(self, request: CARequest) -> None:
        """See `CertificateAuthority`."""
        await self._authority().configure(request)

    async def sign(self, csr: str, may_sign: Callable[[Any], None]) -> IssuedCert:
        """See `CertificateAuthority`."""
        return await self._authority().sign(csr, may_sign)

    async def follow(self) -> None:
        """See `CertificateAuthority`."""
        await self._authority().follow()

    async def prune(self) -> None:
        """See `CertificateAuthority`."""
        await self._authority().prune()

    async def rotate_on_schedule(self) -> None:
        """See `CertificateAuthority`."""
        await self._authority().rotate_on_schedule()

    def agent_names(self, csr: str) -> list[str]:
        """See `CertificateAuthority`."""
        return self._authority().agent_names(csr)

    async def sign_intermediate(self, csr: str) -> str:
        """See `CertificateAuthority`."""
        return await self._authority().sign_intermediate(csr)
