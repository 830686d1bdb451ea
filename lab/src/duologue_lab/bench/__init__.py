"""`duologue bench`: what a server does on this machine, from the first sign-in to the last receipt.

A scenario drives a server as its clients would and tells what it did, how long each of its users waited, what CPU
that took, and what part that is of what the machine could do at best.
"""
