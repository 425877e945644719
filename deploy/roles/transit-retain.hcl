# What retain may do with the master key: seal the day keys that it mints. It opens none. "update" alone: with "create" as well
# a misspelt name would make a new key.
path "transit/encrypt/square" {
  capabilities = ["update"]
}
