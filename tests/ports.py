# SPDX-License-Identifier: LGPL-2.1-or-later
"""A port for a program that has to be told one. It is none that the kernel gives to those who leave
the choice to it, so that tests that run side by side do not take it away in the meantime."""

import random
import socket

FIRST, LAST = 10000, 32767
HOSTS = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


def is_free(port):
    for family, host in HOSTS.items():
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((host, port))
        except OSError:
            # A host without IPv6 has it free there.
            if family == socket.AF_INET:
                return False
    return True


def pick():
    return next(port for port in random.sample(range(FIRST, LAST), 1000) if is_free(port))


if __name__ == "__main__":
    print(pick())
