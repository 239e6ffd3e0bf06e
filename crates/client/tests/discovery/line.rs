//! A line to a server that can be cut.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Passes connections on to a server, until it is cut.
pub(crate) struct Line {
    address: SocketAddr,
    server: SocketAddr,
    tasks: JoinSet<()>,
}

impl Line {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut line = Self { address: listener.local_addr().unwrap(), server, tasks: JoinSet::new() };
        line.pass(listener);
        line
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn pass(&mut self, listener: TcpListener) {
        let server = self.server;
        self.tasks.spawn(async move {
            // They end with this task.
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
    }

    /// Ends all connections, and takes no more.
    pub(crate) async fn cut(&mut self) {
        self.tasks.shutdown().await;
    }

    pub(crate) async fn mend(&mut self) {
        self.pass(TcpListener::bind(self.address).await.unwrap());
    }
}
