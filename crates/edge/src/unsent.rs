//! How much of what was written to a socket may wait in the kernel for the line (Linux: `TCP_NOTSENT_LOWAT`). What is
//! on its way isn't counted, so a fast line stays full.

use socket2::SockRef;

/// At most about so many bytes; the kernel takes whole segments, so it may be some more. Sockets that a listener
/// accepts have its limit. Where the system can't, nothing is limited.
pub(crate) fn limit(socket: &SockRef<'_>, bytes: u32) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(bytes);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (socket, bytes);
}
