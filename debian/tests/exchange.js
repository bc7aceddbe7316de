// SPDX-License-Identifier: LGPL-2.1-or-later

// Sends all 256 bytes there are to a server of its own class, and checks what comes back.

imports.gi.versions.EasyServers = '0';

const {EasyServers, GObject} = imports.gi;

const Mirror = GObject.registerClass(
class Mirror extends EasyServers.UdpServer {
    vfunc_message_received(message, address) {
        this.send(message, address);
    }
});

const bytes = new Uint8Array(256).map((_, i) => i);
const server = new Mirror({port: 0});
const client = EasyServers.UdpClient.new();
let answer = null;

client.connect('message-received', (self, message) => {
    answer = message;
    self.quit();
});
server.start();
client.connect_to_host('127.0.0.1', server.port, null);
client.send(bytes, null);
client.run();
if (answer.length !== 256 || answer.some((byte, i) => byte !== i))
    throw new Error(`got ${answer}`);
