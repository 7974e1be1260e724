# A client agent: one on each host that offers or uses services. Copy to /etc/consulpy.d/consulpy.hcl.
datacenter = "dc1"
data_dir   = "/var/lib/consulpy"
node_name  = "web-1"

bind_addr   = "{{ GetPrivateIP }}"
client_addr = "127.0.0.1"

retry_join = ["10.0.0.11", "10.0.0.12", "10.0.0.13"]

# A client leaves when it is stopped (these are the defaults): its services go from the catalog at once.
leave_on_terminate = true

# Scripts of checks come from files of this host only, never from the HTTP API.
enable_local_script_checks = true

# A service of this host, with its check.
service {
  name = "web"
  port = 80
  check {
    http     = "http://127.0.0.1:80/health"
    interval = "10s"
    timeout  = "2s"
  }
}

telemetry {
  prometheus_retention_time = "60s"
  disable_hostname          = true
}
