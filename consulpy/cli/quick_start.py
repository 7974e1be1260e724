"""`consulpy help`: how to begin, on one screen of 24 lines and 80 columns."""

from typing import Final

QUICK_START: Final = """\
consulpy: service discovery, health checks, key-value store, DNS (as Consul 1.8)

Try it on this machine, in memory:
  consulpy agent -dev                    start an agent; Ctrl-C ends it
  consulpy members                       the members of its cluster
  consulpy kv put color blue             write a key;  consulpy kv get color
  consulpy services register -name web -port 80
  dig @127.0.0.1 -p 8600 web.service.consul SRV

A server, a client that joins it, an encrypted cluster:
  consulpy agent -server -bootstrap -data-dir /var/lib/consulpy -bind ADDRESS
  consulpy agent -data-dir /var/lib/consulpy -bind ADDRESS -retry-join SERVER
  consulpy keygen                        a gossip key, for -encrypt
  consulpy validate /etc/consulpy        check configuration files

Look after it:
  consulpy monitor -log-level debug      follow the log of an agent
  consulpy why NODE                      why a member is alive, failed or left
  consulpy snapshot save backup.snap     back up;  consulpy snapshot restore

Commands: consulpy --help   Flags of one: consulpy help COMMAND
Agent: -http-addr ADDRESS:PORT or CONSUL_HTTP_ADDR; default 127.0.0.1:8500"""
