# What encrypts and authenticates: a second file in /etc/consulpy.d, beside server.hcl. docs/production.md makes the
# key and the certificates. A client agent has the same with its own certificate, and without verify_incoming.

# Gossip: the output of `consulpy keygen`, the same on all nodes. Later keys come by `consulpy keyring`.
encrypt = "cg8StVXbQJ0gPvMd9o7yrg=="

# Port 8300, and HTTPS on 8501: TLS with certificates of your own authority, both ways.
ca_file                = "/etc/consulpy.d/tls/consul-agent-ca.pem"
cert_file              = "/etc/consulpy.d/tls/dc1-server-consul-0.pem"
key_file               = "/etc/consulpy.d/tls/dc1-server-consul-0-key.pem"
verify_incoming_rpc    = true
verify_outgoing        = true
verify_server_hostname = true

ports {
  https = 8501
}
