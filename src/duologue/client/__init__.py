"""A lean socket client, for `bench` and `torture`."""
