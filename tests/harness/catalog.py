"""The catalog and the questions of the DNS tests, the same for real Consul (`record_answers.py`) and consulpy."""

from typing import Any, Final

NODES: Final[list[dict[str, Any]]] = [
    {"Node": "plain", "Address": "10.1.0.1"},
    {"Node": "meta", "Address": "10.1.0.2", "NodeMeta": {"os": "linux"}},
    {"Node": "rfc", "Address": "10.1.0.3", "NodeMeta": {"rfc1035-note": "v=1 ; y"}},
    {"Node": "six", "Address": "fd00:1::6", "NodeMeta": {"v": "6"}},
    {"Node": "named", "Address": "host.example.com"},
    {"Node": "alias", "Address": "plain.node.consul"},
    {"Node": "Big-Case", "Address": "10.1.0.4"},
    {"Node": "dotted.name", "Address": "10.1.0.5"},
    {
        "Node": "plain",
        "Address": "10.1.0.1",
        "Service": {"Service": "web", "Tags": ["v1"], "Port": 80, "Weights": {"Passing": 7, "Warning": 2}},
    },
    {
        "Node": "meta",
        "Address": "10.1.0.2",
        "Service": {"Service": "db", "Address": "10.2.0.1", "Port": 5432, "Tags": ["a.b"]},
    },
    {"Node": "six", "Address": "fd00:1::6", "Service": {"Service": "six", "Port": 66}},
    {"Node": "six", "Address": "fd00:1::6", "Service": {"Service": "sixb", "Address": "fd00:2::1", "Port": 67}},
    {"Node": "plain", "Address": "10.1.0.1", "Service": {"Service": "ext", "Address": "www.example.org", "Port": 443}},
    {"Node": "plain", "Address": "10.1.0.1", "Service": {"Service": "in", "Address": "meta.node.consul", "Port": 1}},
    {
        "Node": "Big-Case",
        "Address": "10.1.0.4",
        "Service": {"Service": "warn", "Port": 4, "Weights": {"Passing": 7, "Warning": 2}},
        "Check": {"CheckID": "w", "Name": "W", "Status": "warning", "ServiceID": "warn"},
    },
    {
        "Node": "rfc",
        "Address": "10.1.0.3",
        "Service": {"Service": "down", "Port": 5},
        "Check": {"CheckID": "d", "Name": "D", "Status": "critical", "ServiceID": "down"},
    },
]

#: 40 instances of one service, for answers that are cut.
MANY: Final[list[dict[str, Any]]] = [
    {"Node": f"many-{number:02}", "Address": f"10.3.0.{number + 1}", "Service": {"Service": "many", "Port": 9000}}
    for number in range(40)
]

#: Configuration in Consul's words; "plain" is the default.
CONFIGS: Final[dict[str, dict[str, Any]]] = {
    "plain": {},
    "full": {
        "domain": "kon.sul.",
        "alt_domain": "alt.",
        "dns_config": {
            "node_ttl": "7s",
            "service_ttl": {"*": "3s", "w*": "4s", "web": "5s"},
            "only_passing": True,
            "enable_truncate": True,
            "udp_answer_limit": 20,
            "disable_compression": True,
            "soa": {"refresh": 11, "retry": 12, "expire": 13, "min_ttl": 14},
            "enable_additional_node_meta_txt": False,
        },
    },
}

NAMES: Final = """
agent.node.@ plain.node.@ meta.node.@ rfc.node.@ six.node.@ named.node.@ alias.node.@ big-case.node.@
PLAIN.Node.@ dotted.name.node.@ nobody.node.@ plain.node.dc1.@ plain.node.dc9.@ plain.node.dc1.x.@ node.@
plain.@ web.service.@ v1.web.service.@ v2.web.service.@ db.service.@ a.b.db.service.@ six.service.@
sixb.service.@ ext.service.@ in.service.@ warn.service.@ down.service.@ none.service.@ _web._tcp.@
_web._v1.service.@ _web.service.@ web.service.dc1.@ web.service.dc9.@ service.@ web.connect.@ web.ingress.@
none.query.@ x.query.dc1.y.@ 0a000001.addr.@ 0a0000.addr.@ zz000001.addr.@ x.0a000001.addr.@
fd000001000000000000000000000001.addr.@ @ x.@ example.com arpa 1.0.1.10.in-addr.arpa 1.0.2.10.in-addr.arpa
9.9.9.9.in-addr.arpa 6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa
""".split()  # noqa: SIM905
TYPES: Final = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
    "ANY": 255,
}

_PLAIN: Final = "05706c61696e046e6f646506636f6e73756c0000010001"
_RECORD: Final = "c00c0001000100000000000401020304"
#: Packets out of the ordinary, without their id: label -> hex.
ODD: Final = {
    "short": "0100000100",
    "header only": "01000001000000000000",
    "no question": "01000000000000000000",
    "two questions": "01000002000000000000" + _PLAIN * 2,
    "half a question": "01000001000000000000" + _PLAIN[:12],
    "trailing bytes": "01000001000000000000" + _PLAIN + "dead",
    "an answer along": "01000001000100000000" + _PLAIN + _RECORD,
    "two answers along": "01000001000200000000" + _PLAIN + _RECORD * 2,
    "three additional": "01000001000000000003" + _PLAIN + _RECORD * 3,
    "count too large": "01000001000000000001" + _PLAIN,
    "half a record": "01000001000000000001" + _PLAIN + _RECORD[:14],
    "data cut off": "01000001000000000001" + _PLAIN + _RECORD[:-2],
    "pointer to itself": "01000001000000000000" + "c00c00010001",
    "reserved label": "01000001000000000000" + "4061626300" + "00010001",
    "long name": "01000001000000000000" + ("3f" + "61" * 63) * 4 + "00" + "00010001",
    "dot in a label": "01000001000000000000" + "03612e62046e6f646506636f6e73756c0000010001",
    "nul in a label": "01000001000000000000" + "03610062046e6f646506636f6e73756c0000010001",
    "response": "81000001000000000000" + _PLAIN,
    "status": "11000001000000000000" + _PLAIN,
    "notify": "21000001000000000000" + _PLAIN,
    "update": "29000001000000000000" + _PLAIN,
    "no recursion desired": "00000001000000000000" + _PLAIN,
    "odd flags": "07f30001000000000000" + _PLAIN,
    "class chaos": "01000001000000000000" + _PLAIN[:-4] + "0003",
    "type 65535": "01000001000000000000" + _PLAIN[:-8] + "ffff0001",
    "transfer": "01000001000000000000" + "06636f6e73756c0000fc0001",
    "edns": "01000001000000000001" + _PLAIN + "0000291000000000000000",
    "edns 0": "01000001000000000001" + _PLAIN + "0000290000000000000000",
    "edns version 1, DO": "01000001000000000001" + _PLAIN + "0000290400000180000000",
    "edns with subnet": "01000001000000000001" + _PLAIN + "000029100000000000000b00080007000118000a0b0c",
    "edns with cookie": "01000001000000000001" + _PLAIN + "000029100000000000000c000a00080102030405060708",
    "edns data cut off": "01000001000000000001" + _PLAIN + "00002910000000000000050001000500",
    "edns on an unknown name": "0100000100000000000103787878046e6f646506636f6e73756c00000100010000291000000000000000",
    "edns on a foreign name": "0100000100000000000103787878076578616d706c6500000100010000291000000000000000",
}

#: Payload sizes (0: no EDNS) of questions for the service with 40 instances.
SIZES: Final = (0, 512, 513, 700, 1000, 1232, 4096, 65535)


def packet(name: str, kind: int, size: int = 0) -> bytes:
    """A question; with a payload size of `size` if it isn't 0."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    head = bytes.fromhex("01230100000100000000") + bytes([0, 1 if size else 0])
    opt = b"\0\0\x29" + size.to_bytes(2, "big") + bytes(6) if size else b""
    return head + labels + b"\0" + kind.to_bytes(2, "big") + b"\0\1" + opt


def questions(config: str) -> dict[str, bytes]:
    """label -> packet"""
    domain = CONFIGS[config].get("domain", "consul.").rstrip(".")
    packets = {
        f"{name} {word}": packet(name.replace("@", domain), kind) for name in NAMES for word, kind in TYPES.items()
    }
    if config == "plain":
        packets |= {f"odd: {label}": bytes.fromhex("0123" + rest) for label, rest in ODD.items()}
    else:
        packets |= {f"{name} alt": packet(name.replace("@", "alt"), TYPES["SRV"]) for name in NAMES if "@" in name}
    return packets
