"""Measurements that anybody can repeat, such as `python -m bench.profile`."""
