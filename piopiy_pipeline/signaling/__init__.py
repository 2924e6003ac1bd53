"""The protocol between gateway and agent: the only floor that both of them stand on."""
