//! Who subscribed to which prefix: a radix trie.

use super::super::PeerId;

/// The place of a node in the arena.
type NodeId = usize;

/// The node of the empty prefix. It is always there.
const ROOT: NodeId = 0;

/// A prefix that somebody subscribed to, or where several of them part.
#[derive(Debug, Default)]
struct Node {
    parent: NodeId,
    /// What this node adds to its parent's prefix. Empty only at the root.
    label: Box<[u8]>,
    /// Ascending by the first byte of their labels, which differ.
    children: Vec<(u8, NodeId)>,
    /// Ascending.
    subscribers: Vec<PeerId>,
}

/// Subscribers by prefix.
///
/// The nodes are in one vector and name each other by number, so nothing recurses however long a topic is. There are
/// at most two nodes for each distinct prefix, and the labels together are no longer than the prefixes. To find who
/// gets a topic costs one step for each of its bytes at most.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    free: Vec<NodeId>,
}

impl Trie {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new() }
    }

    /// Adds a subscriber. Returns whether it is the first of this prefix.
    pub(super) fn insert(&mut self, prefix: &[u8], peer: PeerId) -> bool {
        let at = self.make(prefix);
        let Some(node) = self.nodes.get_mut(at) else { return false };
        let is_first = node.subscribers.is_empty();
        if let Err(place) = node.subscribers.binary_search(&peer) {
            node.subscribers.insert(place, peer);
        }
        is_first
    }

    /// Takes a subscriber away. Returns whether it was the last of this prefix.
    pub(super) fn remove(&mut self, prefix: &[u8], peer: PeerId) -> bool {
        let Some(at) = self.find(prefix) else { return false };
        let Some(node) = self.nodes.get_mut(at) else { return false };
        let Ok(place) = node.subscribers.binary_search(&peer) else { return false };
        node.subscribers.remove(place);
        let is_last = node.subscribers.is_empty();
        if is_last {
            self.prune(at);
        }
        is_last
    }

    /// Puts those who get a topic into `found`: ascending, each once.
    pub(super) fn matching(&self, topic: &[u8], found: &mut Vec<PeerId>) {
        found.clear();
        let mut lists = 0;
        for (_, node) in self.path(topic) {
            if !node.subscribers.is_empty() {
                found.extend_from_slice(&node.subscribers);
                lists += 1;
            }
        }
        if lists > 1 {
            found.sort_unstable();
            found.dedup();
        }
    }

    /// Whether a prefix of `topic`, other than the one of `except` bytes, is subscribed to by this peer.
    pub(super) fn covers(&self, topic: &[u8], peer: PeerId, except: Option<usize>) -> bool {
        self.path(topic)
            .any(|(length, node)| Some(length) != except && node.subscribers.binary_search(&peer).is_ok())
    }

    /// The nodes whose prefixes `topic` begins with, shortest first, with the lengths of the prefixes.
    fn path<'a>(&'a self, topic: &'a [u8]) -> impl Iterator<Item = (usize, &'a Node)> {
        let mut length = 0;
        let mut next = self.nodes.get(ROOT);
        std::iter::from_fn(move || {
            let node = next?;
            let here = length;
            next = self.child_on_path(node, topic.get(here..).unwrap_or_default());
            length += next.map_or(0, |child| child.label.len());
            Some((here, node))
        })
    }

    fn child_on_path(&self, node: &Node, rest: &[u8]) -> Option<&Node> {
        let child = self.nodes.get(node.child(*rest.first()?)?)?;
        rest.starts_with(&child.label).then_some(child)
    }

    fn find(&self, prefix: &[u8]) -> Option<NodeId> {
        let mut at = ROOT;
        let mut rest = prefix;
        while let Some(first) = rest.first() {
            at = self.nodes.get(at)?.child(*first)?;
            rest = rest.strip_prefix(&*self.nodes.get(at)?.label)?;
        }
        Some(at)
    }

    /// The node of a prefix, which is made if need be.
    fn make(&mut self, prefix: &[u8]) -> NodeId {
        let mut at = ROOT;
        let mut rest = prefix;
        while let Some(first) = rest.first() {
            let child = self.nodes.get(at).and_then(|node| node.child(*first));
            let Some(child) = child else { return self.add(at, rest) };
            let label = self.nodes.get(child).map(|node| &*node.label).unwrap_or_default();
            let shared = label.iter().zip(rest).take_while(|(one, other)| one == other).count();
            at = if shared < label.len() { self.split(child, shared) } else { child };
            rest = rest.get(shared..).unwrap_or_default();
        }
        at
    }

    /// Adds a node below `parent`, which has none with the same first byte.
    fn add(&mut self, parent: NodeId, label: &[u8]) -> NodeId {
        let id = self.allocate(Node { parent, label: label.into(), ..Node::default() });
        if let (Some(node), Some(first)) = (self.nodes.get_mut(parent), label.first()) {
            node.point(*first, id);
        }
        id
    }

    /// Puts a node between `child` and its parent, at so many bytes of the child's label, and returns it.
    fn split(&mut self, child: NodeId, at: usize) -> NodeId {
        let Some(node) = self.nodes.get_mut(child) else { return child };
        let parent = node.parent;
        let (above, below) = node.label.split_at(at);
        let (above, below): (Box<[u8]>, Box<[u8]>) = (above.into(), below.into());
        let children = below.first().map(|first| (*first, child)).into_iter().collect();
        let first = above.first().copied();
        node.label = below;
        let middle = self.allocate(Node { parent, label: above, children, subscribers: Vec::new() });
        if let Some(node) = self.nodes.get_mut(child) {
            node.parent = middle;
        }
        if let (Some(node), Some(first)) = (self.nodes.get_mut(parent), first) {
            node.point(first, middle);
        }
        middle
    }

    /// Removes a node without subscribers, if nothing parts there; then the same of its parent, if that was
    /// needed only for this node.
    fn prune(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(id) else { return };
        if id == ROOT || !node.subscribers.is_empty() {
            self.forget_if_empty();
            return;
        }
        match node.children.as_slice() {
            [] => {
                let parent = node.parent;
                if let Some(first) = node.label.first().copied() {
                    self.cut(parent, first);
                }
                self.release(id);
                if let Some(node) = self.nodes.get(parent)
                    && parent != ROOT
                    && node.subscribers.is_empty()
                    && let [(_, only)] = node.children.as_slice()
                {
                    self.join(parent, *only);
                }
            }
            [(_, only)] => self.join(id, *only),
            _ => {}
        }
        self.forget_if_empty();
    }

    /// Replaces a node by its only child.
    fn join(&mut self, id: NodeId, child: NodeId) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        let parent = node.parent;
        let above = std::mem::take(&mut node.label);
        self.release(id);
        if let Some(node) = self.nodes.get_mut(child) {
            node.label = [&*above, &*node.label].concat().into();
            node.parent = parent;
        }
        if let (Some(node), Some(first)) = (self.nodes.get_mut(parent), above.first()) {
            node.point(*first, child);
        }
    }

    fn cut(&mut self, parent: NodeId, first: u8) {
        if let Some(node) = self.nodes.get_mut(parent)
            && let Ok(place) = node.children.binary_search_by_key(&first, |(byte, _)| *byte)
        {
            node.children.remove(place);
        }
    }

    fn allocate(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.free.pop()
            && let Some(place) = self.nodes.get_mut(id)
        {
            *place = node;
            return id;
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn release(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(id) {
            *node = Node::default();
            self.free.push(id);
        }
    }

    /// Gives the arena's memory back when only the root is left.
    fn forget_if_empty(&mut self) {
        if self.free.len() > 64 && self.free.len() + 1 == self.nodes.len() {
            self.nodes.truncate(1);
            self.nodes.shrink_to_fit();
            self.free = Vec::new();
        }
    }

    /// Nodes in use, the root included.
    #[cfg(test)]
    pub(super) fn node_count(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Bytes of all labels.
    #[cfg(test)]
    pub(super) fn label_bytes(&self) -> usize {
        self.nodes.iter().map(|node| node.label.len()).sum()
    }
}

impl Node {
    fn child(&self, first: u8) -> Option<NodeId> {
        let place = self.children.binary_search_by_key(&first, |(byte, _)| *byte).ok()?;
        self.children.get(place).map(|(_, id)| *id)
    }

    /// Makes `id` the child whose label begins with this byte.
    fn point(&mut self, first: u8, id: NodeId) {
        match self.children.binary_search_by_key(&first, |(byte, _)| *byte) {
            Ok(place) => {
                if let Some((_, child)) = self.children.get_mut(place) {
                    *child = id;
                }
            }
            Err(place) => self.children.insert(place, (first, id)),
        }
    }
}
