"""What happened, to whom it concerns, now: the bus and this node's sockets."""
