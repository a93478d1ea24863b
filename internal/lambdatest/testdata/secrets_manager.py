"""Serves Secrets Manager, played by moto, on a free loopback port.

Prints the URL and serves until the standard input ends, which it does with the
process that holds the other end, however that ends.
"""

import sys

from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
