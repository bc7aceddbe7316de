// SPDX-License-Identifier: LGPL-2.1-or-later

// An echo server on Node. The addresses to answer are literals, so that no name is looked up.

'use strict';

const dgram = require('node:dgram');

const bufferSize = 4 * 1024 * 1024;
const server = dgram.createSocket({
  type: 'udp4',
  lookup: (host, family, done) => done(null, host, family),
});

server.on('message', (message, peer) => server.send(message, peer.port, peer.address));
server.bind(0, '127.0.0.1', () => {
  server.setRecvBufferSize(bufferSize);
  server.setSendBufferSize(bufferSize);
  console.log(`Listening on port ${server.address().port}`);
});
