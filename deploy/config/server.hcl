# One of three servers. Copy to /etc/consulpy.d/consulpy.hcl, mode 0640, group consulpy.
server           = true
bootstrap_expect = 3
node_name        = "server-1"
datacenter       = "dc1"
data_dir         = "/var/lib/consulpy"

# The address that other nodes reach, as a template: the only private address of the host.
bind_addr = "{{ GetPrivateIP }}"
# HTTP and DNS for programs on this host only.
client_addr = "127.0.0.1"

# All three, this one included: the list is the same everywhere.
retry_join = ["10.0.0.11", "10.0.0.12", "10.0.0.13"]

log_level = "INFO"

telemetry {
  prometheus_retention_time = "60s"
  disable_hostname          = true
}
