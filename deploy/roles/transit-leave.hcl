# Beside transit-rotate.hcl, for whoever moves away from this master key: to remove it from the server.
path "transit/keys/square" {
  capabilities = ["read", "delete"]
}
