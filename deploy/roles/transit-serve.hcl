# What serve may do with the master key: open keys, to show footage to whom it was granted, and seal the keys of cases that it mints
# when a hold is placed.
path "transit/decrypt/square" {
  capabilities = ["update"]
}
path "transit/encrypt/square" {
  capabilities = ["update"]
}
