#!/usr/bin/gjs -m
// SPDX-License-Identifier: LGPL-2.1-or-later

// Answers every message with the message itself: echo-server.js [PORT]

import EasyServers from 'gi://EasyServers?version=0';
import System from 'system';

const [port = 1234] = System.programArgs;
const server = new EasyServers.UdpServer({port: Number(port)});

server.connect('message-received', (_server, message, address, send) => send(message, address));
try {
    server.start();
    print(`Listening on port ${server.port}`);
    server.run();
} catch (error) {
    printerr(error.message);
    System.exit(1);
}
