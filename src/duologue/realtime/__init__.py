"""Live delivery of events: the bus between nodes, and the hub of this node's sockets."""
