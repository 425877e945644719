# What whoever runs klarsyn keys rotate-master may do with the master key. Give it for that hour, as a token with a short life.
path "transit/encrypt/square" {
  capabilities = ["update"]
}
path "transit/decrypt/square" {
  capabilities = ["update"]
}
path "transit/keys/square" {
  capabilities = ["read"]
}
path "transit/keys/square/rotate" {
  capabilities = ["update"]
}
path "transit/keys/square/config" {
  capabilities = ["update"]
}
path "transit/keys/square/trim" {
  capabilities = ["update"]
}
