// Broadcast with Socket.IO, its own adapter in memory. Compression is off by default.
const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http);

io.on("connection", (socket) => {
  socket.on("message", (data) => io.emit("message", data));
  socket.on("echo", (data) => socket.emit("echo", data));
});

http.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
