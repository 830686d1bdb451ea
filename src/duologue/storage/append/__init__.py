"""Message path: batches of messages and marks, stored as one transaction."""
