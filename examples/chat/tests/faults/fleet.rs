//! All that a chat consists of.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde_json::Value;
use swarmmq_node::config::{Listen, parse};
use swarmmq_node::node::{Node, NodeOptions, Running};

use crate::ledger;
use crate::program::Program;
use crate::relay::Relay;

/// A node, a reference, servers, and the cables of each server.
pub(crate) struct Fleet {
    node: Option<Running>,
    folder: PathBuf,
    /// Of the node: clients, servers, publishers, subscribers.
    ports: Vec<u16>,
    pub(crate) reference: Program,
    pub(crate) servers: Vec<Program>,
    /// To the broker, from the server to the proxy, from the proxy to the server, to the reference.
    pub(crate) relays: Vec<[Relay; 4]>,
}

fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

async fn start_node(folder: &Path, ports: &[u16]) -> Running {
    let text = format!(
        "node: {{ data_dir: {:?} }}\n\
         cluster: {{ shards: 1 }}\n\
         zeromq: {{ endpoints: [\n\
           {{ name: broker, kind: request-reply, bind: 'tcp://127.0.0.1:{}', backend: 'tcp://127.0.0.1:{}' }},\n\
           {{ name: proxy, kind: pub-sub, bind: 'tcp://127.0.0.1:{}', backend: 'tcp://127.0.0.1:{}' }}] }}\n",
        folder.join("node"),
        ports[0],
        ports[1],
        ports[2],
        ports[3],
    );
    let mut config = parse(&text).unwrap();
    config.listen.native = Some(Listen::loopback(0));
    config.listen.http = Listen::loopback(0);
    Node::start(NodeOptions::new(config)).await.unwrap()
}

impl Fleet {
    pub(crate) async fn start(folder: &Path, servers: usize) -> Self {
        let ports = free_ports(5);
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let node = Some(start_node(folder, &ports).await);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let data = folder.join("ref").display().to_string();
        let bind = format!("tcp://127.0.0.1:{}", ports[4]);
        let mut reference =
            Program::new(folder, "ref", words(&["reference", "--bind", &bind, "--data", &data]));
        reference.start();
        let mut fleet = Self {
            node,
            folder: folder.to_owned(),
            ports,
            reference,
            servers: Vec::new(),
            relays: Vec::new(),
        };
        for number in 1..=servers {
            let name = format!("server-{number:03}");
            let targets = &fleet.ports[1..5];
            let relays = [
                Relay::start(at(targets[0])).await,
                Relay::start(at(targets[1])).await,
                Relay::start(at(targets[2])).await,
                Relay::start(at(targets[3])).await,
            ];
            let data = folder.join(&name).display().to_string();
            let mut arguments = words(&["server", "--name", &name, "--data", &data]);
            for (option, relay) in
                ["--broker", "--proxy-in", "--proxy-out", "--reference"].iter().zip(&relays)
            {
                arguments.extend([(*option).to_owned(), relay.address()]);
            }
            let mut server = Program::new(folder, &name, arguments);
            server.start();
            fleet.servers.push(server);
            fleet.relays.push(relays);
        }
        fleet
    }

    /// Where clients ask.
    pub(crate) fn broker(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.ports[0])
    }

    /// A client, not yet started.
    pub(crate) fn client(&self, folder: &Path, user: &str, more: &[&str]) -> Program {
        let proxy = format!("tcp://127.0.0.1:{}", self.ports[3]);
        let broker = self.broker();
        let words = ["client", "--user", user, "--broker", &broker, "--proxy-out", &proxy];
        let arguments = words.iter().chain(more).map(|word| (*word).to_owned()).collect();
        Program::new(folder, user, arguments)
    }

    pub(crate) async fn restart_node(&mut self) {
        let _stopped = self.node.take().unwrap().shutdown().await;
        self.node = Some(start_node(&self.folder, &self.ports).await);
    }

    /// The server with the lowest rank of those that the reference takes for alive, if these are all.
    pub(crate) fn lowest_rank(&self) -> Option<String> {
        let text = std::fs::read(self.folder.join("ref/ref_servers.json")).ok()?;
        let Value::Object(entries) = serde_json::from_slice(&text).ok()? else { return None };
        let alive: Vec<_> = entries.iter().filter(|(_, entry)| entry["alive"] == true).collect();
        let lowest = alive.iter().min_by_key(|(_, entry)| entry["rank"].as_u64())?;
        (alive.len() == self.servers.len()).then(|| lowest.0.clone())
    }

    /// Whether all servers have the same records and users.
    pub(crate) fn same_histories(&self) -> bool {
        let histories: BTreeSet<_> = self
            .servers
            .iter()
            .map(|server| {
                let lines: BTreeSet<String> = ledger::lines(server).into_iter().collect();
                (lines, ledger::users(server))
            })
            .collect();
        histories.len() == 1
    }

    pub(crate) async fn stop(&mut self) {
        self.servers.iter_mut().for_each(Program::stop);
        self.reference.stop();
        let _stopped = self.node.take().unwrap().shutdown().await;
    }
}
