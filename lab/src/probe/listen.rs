//! Answering: every probed port of a place says the place's name.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::Probed;

/// Answers on `address` with `name`, for as long as the runtime lives. Echo is the kernel's business, and there
/// is none to answer SCTP.
pub(super) async fn listen(address: IpAddr, probed: Probed, name: String) -> io::Result<()> {
    match probed {
        Probed::Tcp(port) => {
            let listener = TcpListener::bind(SocketAddr::new(address, port)).await?;
            tokio::spawn(answer_connections(listener, name));
        }
        Probed::Udp(port) => {
            let socket = UdpSocket::bind(SocketAddr::new(address, port)).await?;
            tokio::spawn(answer_datagrams(socket, name));
        }
        Probed::Sctp(_) | Probed::Echo => {}
    }
    Ok(())
}

async fn answer_connections(listener: TcpListener, name: String) {
    loop {
        // An error is of that one connection (accept(2)); who asked will see it fail.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, name.clone()));
        }
    }
}

async fn answer(mut stream: TcpStream, name: String) {
    if stream.write_all(name.as_bytes()).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}

async fn answer_datagrams(socket: UdpSocket, name: String) {
    let mut request = [0; 64];
    loop {
        if let Ok((_, from)) = socket.recv_from(&mut request).await {
            let _ = socket.send_to(name.as_bytes(), from).await;
        }
    }
}
