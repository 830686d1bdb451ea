"""Measurements that anybody can repeat: `python -m bench.core`, `python -m bench.bytes`, …"""
