//! The lock graph as a picture: which thread waits for which lock, and which thread holds it.
//!
//! Every thread waits for one lock at most and every lock has one owner at most, so each part of the graph is a tree
//! that ends in an owner who runs, or in a circle. A tree is drawn from the top, where threads wait, down to the owner; a
//! circle as a circle. Threads that wait for a lock and hold none that is drawn are one node.

use std::collections::{HashMap, HashSet};

use super::text::Text;
use crate::report::model::{Lock, Report};
use crate::report::wording::thread::title_of;
use crate::report::words::count;
use crate::sys::Tid;

/// Locks that are drawn.
const MAX_LOCKS: usize = 24;
/// Threads of a circle that is drawn.
const MAX_CIRCLE: usize = 8;
/// Characters of a label.
const MAX_LABEL: usize = 20;
/// Sizes in units of the picture, which are pixels on a screen that is wide enough.
const WIDTH: i32 = 164;
const HEIGHT: i32 = 46;
const GAP: i32 = 22;
const LAYER: i32 = 96;
const MARGIN: i32 = 12;
/// The smallest radius of a circle.
const MIN_RADIUS: f64 = 132.0;

/// A picture.
pub(super) struct Graph {
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
}

/// A thread, several threads, or a lock.
pub(super) struct Node {
    pub(super) class: &'static str,
    pub(super) title: Text,
    pub(super) detail: Text,
    /// Its middle.
    pub(super) x: i32,
    pub(super) y: i32,
}

/// An arrow: "waits for", or "is held by".
pub(super) struct Edge {
    pub(super) class: &'static str,
    pub(super) from: (i32, i32),
    pub(super) to: (i32, i32),
}

/// A node by what it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Key {
    Thread(Tid),
    /// The threads that wait for the lock of that place and are not drawn by themselves.
    Waiters(usize),
    Lock(usize),
}

/// What is drawn, and what each node points to.
struct Drawn<'a> {
    report: &'a Report,
    locks: Vec<&'a Lock>,
    next: HashMap<Key, Key>,
    /// What points to each node, in the order of the locks.
    before: HashMap<Key, Vec<Key>>,
    order: Vec<Key>,
}

impl Graph {
    /// Draws the locks that are waited for and whose holder is known; none if there are none.
    pub(super) fn of(report: &Report) -> Option<Self> {
        let drawn = Drawn::of(report);
        let mut graph = Self {
            width: 0,
            height: 0,
            nodes: Vec::new(),
            edges: Vec::new(),
        };
        for circle in drawn.circles() {
            graph.draw_circle(&drawn, &circle);
        }
        for root in drawn.roots() {
            graph.draw_tree(&drawn, root);
        }
        (!graph.nodes.is_empty()).then_some(graph)
    }

    fn draw_circle(&mut self, drawn: &Drawn<'_>, circle: &[Key]) {
        let nodes = circle.len() as f64;
        let radius = (nodes * f64::from(WIDTH + GAP) / std::f64::consts::TAU * 0.8).max(MIN_RADIUS);
        let middle = (
            radius as i32 + WIDTH / 2 + MARGIN,
            self.height + radius as i32 + HEIGHT / 2 + MARGIN,
        );
        let mut places = Vec::new();
        for (number, key) in circle.iter().enumerate() {
            let angle = std::f64::consts::TAU * number as f64 / nodes - std::f64::consts::FRAC_PI_2;
            let x = middle.0 + (radius * angle.cos()) as i32;
            let y = middle.1 + (radius * angle.sin()) as i32;
            places.push((x, y));
            self.nodes.push(drawn.node(*key, x, y));
        }
        for (number, key) in circle.iter().enumerate() {
            let (from, to) = (places[number], places[(number + 1) % places.len()]);
            self.edges.push(edge(*key, from, to));
        }
        let extent = (
            2 * radius as i32 + WIDTH + 2 * MARGIN,
            2 * radius as i32 + HEIGHT + 2 * MARGIN,
        );
        self.grow(extent.0, extent.1);
    }

    fn draw_tree(&mut self, drawn: &Drawn<'_>, root: Key) {
        let depth = drawn.depth(root);
        let top = self.height + MARGIN + HEIGHT / 2;
        let width = self.draw_branch(drawn, root, MARGIN, top, depth).1 + MARGIN;
        self.grow(width, depth * LAYER + HEIGHT + 2 * MARGIN);
    }

    /// Draws a node and what points to it, from `left` on; returns its middle and where it ends.
    fn draw_branch(
        &mut self,
        drawn: &Drawn<'_>,
        key: Key,
        left: i32,
        top: i32,
        depth: i32,
    ) -> ((i32, i32), i32) {
        let mut right = left;
        let mut above = Vec::new();
        for before in drawn.before.get(&key).into_iter().flatten() {
            let (middle, end) = self.draw_branch(drawn, *before, right, top, depth - 1);
            above.push((*before, middle));
            right = end + GAP;
        }
        let right = (right - GAP).max(left + WIDTH);
        let middle = ((left + right) / 2, top + depth * LAYER);
        self.nodes.push(drawn.node(key, middle.0, middle.1));
        self.edges
            .extend(above.into_iter().map(|(before, from)| edge(before, from, middle)));
        (middle, right)
    }

    fn grow(&mut self, width: i32, height: i32) {
        self.width = self.width.max(width);
        self.height += height;
    }
}

impl<'a> Drawn<'a> {
    fn of(report: &'a Report) -> Self {
        let is_drawn =
            |lock: &&Lock| !lock.waiters.is_empty() && (lock.owner_tid.is_some() || lock.readers.is_some());
        let locks: Vec<&Lock> = report.locks.iter().filter(is_drawn).take(MAX_LOCKS).collect();
        let owners: HashSet<Tid> = locks.iter().filter_map(|lock| lock.owner_tid).collect();
        let mut drawn = Self {
            report,
            locks: Vec::new(),
            next: HashMap::new(),
            before: HashMap::new(),
            order: Vec::new(),
        };
        for (place, lock) in locks.iter().enumerate() {
            if let Some(owner) = lock.owner_tid {
                drawn.point(Key::Lock(place), Key::Thread(owner));
            } else {
                drawn.order.push(Key::Lock(place));
            }
            let (known, others): (Vec<Tid>, Vec<Tid>) =
                lock.waiters.iter().partition(|tid| owners.contains(tid));
            for tid in known {
                drawn.point(Key::Thread(tid), Key::Lock(place));
            }
            match others.as_slice() {
                [] => {}
                [tid] => drawn.point(Key::Thread(*tid), Key::Lock(place)),
                _ => drawn.point(Key::Waiters(place), Key::Lock(place)),
            }
        }
        drawn.locks = locks;
        drawn
    }

    fn point(&mut self, from: Key, to: Key) {
        self.next.insert(from, to);
        self.before.entry(to).or_default().push(from);
        self.order.extend([from, to]);
    }

    /// The circles, each beginning with a thread. What waits for one of their locks from outside is said with the lock.
    fn circles(&self) -> Vec<Vec<Key>> {
        let mut seen = HashSet::new();
        let mut circles = Vec::new();
        for start in &self.order {
            let mut path = Vec::new();
            let mut at = Some(*start);
            while let Some(key) = at.filter(|key| seen.insert(*key)) {
                path.push(key);
                at = self.next.get(&key).copied();
            }
            let begin = at.and_then(|key| path.iter().position(|other| *other == key));
            if let Some(begin) = begin {
                let mut circle = path.split_off(begin);
                if let [Key::Lock(_), ..] = circle.as_slice() {
                    circle.rotate_left(1);
                }
                if circle.len() <= 2 * MAX_CIRCLE {
                    circles.push(circle);
                }
            }
        }
        circles
    }

    /// The nodes that point to nothing.
    fn roots(&self) -> Vec<Key> {
        let mut seen = HashSet::new();
        let roots = self.order.iter().filter(|key| !self.next.contains_key(key));
        roots.filter(|key| seen.insert(**key)).copied().collect()
    }

    /// How many layers lie above a node.
    fn depth(&self, key: Key) -> i32 {
        let before = self.before.get(&key).into_iter().flatten();
        before.map(|key| self.depth(*key) + 1).max().unwrap_or(0)
    }

    fn node(&self, key: Key, x: i32, y: i32) -> Node {
        let (class, title, detail) = match key {
            Key::Thread(tid) => {
                let is_faulting = self.report.fault.tid == Some(tid);
                let class = if is_faulting { "thread faulting" } else { "thread" };
                let name = self.report.threads.iter().find(|thread| thread.tid == tid);
                let name = name.and_then(|thread| thread.name.clone());
                let detail = if name.is_some() {
                    format!("thread {tid}")
                } else {
                    "has ended".to_owned()
                };
                (class, name.unwrap_or_else(|| format!("thread {tid}")), detail)
            }
            Key::Waiters(place) => {
                let waiters = self.outsiders(place);
                let first = waiters
                    .first()
                    .map(|tid| title_of(self.report, *tid))
                    .unwrap_or_default();
                let more = if waiters.len() > 1 { ", ..." } else { "" };
                (
                    "waiters",
                    count(waiters.len(), "thread"),
                    format!("{first}{more}"),
                )
            }
            Key::Lock(place) => {
                let lock = self.locks.get(place);
                let kind = lock.and_then(|lock| lock.kind.as_deref()).unwrap_or("lock");
                let address = lock.map(|lock| lock.address.to_string()).unwrap_or_default();
                let outside = match self.outsiders(place).len() {
                    0 => String::new(),
                    others => format!(" (+{others} waiting)"),
                };
                let is_circle = self.is_in_circle(key);
                (
                    "lock",
                    kind.to_owned(),
                    address + if is_circle { &outside } else { "" },
                )
            }
        };
        Node {
            class,
            title: shortened(&title).into(),
            detail: shortened(&detail).into(),
            x,
            y,
        }
    }

    /// The waiters of a lock that hold no lock that is drawn.
    fn outsiders(&self, place: usize) -> Vec<Tid> {
        let waiters = self
            .locks
            .get(place)
            .map(|lock| lock.waiters.iter())
            .into_iter()
            .flatten();
        waiters
            .filter(|tid| !self.next.contains_key(&Key::Thread(**tid)))
            .copied()
            .collect()
    }

    fn is_in_circle(&self, key: Key) -> bool {
        let mut at = self.next.get(&key);
        // A walk that comes back does so within all of the nodes.
        for _ in 0..self.next.len() {
            match at {
                Some(next) if *next == key => return true,
                Some(next) => at = self.next.get(next),
                None => return false,
            }
        }
        false
    }
}

/// An arrow between the borders of two nodes with these middles.
fn edge(from_key: Key, from: (i32, i32), to: (i32, i32)) -> Edge {
    Edge {
        class: if matches!(from_key, Key::Lock(_)) {
            "held"
        } else {
            "waits"
        },
        from: border(from, to, 0),
        to: border(to, from, 5),
    }
}

/// Where the line from the middle of a node to another crosses the border of the first, and a little `space` beyond.
fn border(middle: (i32, i32), other: (i32, i32), space: i32) -> (i32, i32) {
    let (dx, dy) = (f64::from(other.0 - middle.0), f64::from(other.1 - middle.1));
    let (half_width, half_height) = (f64::from(WIDTH / 2 + space), f64::from(HEIGHT / 2 + space));
    let scale = (half_width / dx.abs().max(0.001)).min(half_height / dy.abs().max(0.001));
    (middle.0 + (dx * scale) as i32, middle.1 + (dy * scale) as i32)
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_LABEL {
        return text.to_owned();
    }
    text.chars()
        .take(MAX_LABEL - 1)
        .chain(std::iter::once('\u{2026}'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::Address;
    use crate::report::sample;

    fn lock(address: u64, owner: i32, waiters: &[i32]) -> Lock {
        Lock {
            address: Address(address),
            kind: Some("pthread_mutex".into()),
            owner_tid: Some(Tid(owner)),
            waiters: waiters.iter().map(|tid| Tid(*tid)).collect(),
            ..Lock::default()
        }
    }

    fn graph(locks: Vec<Lock>) -> Option<Graph> {
        let mut report = sample::captured();
        report.locks = locks;
        Graph::of(&report)
    }

    #[test]
    fn waiters_stand_above_the_lock_and_its_owner() {
        let graph = graph(vec![lock(0x10, 1, &[2, 3, 4]), lock(0x20, 2, &[5])]).unwrap();
        let node = |detail: &str| {
            graph
                .nodes
                .iter()
                .find(|node| node.detail.to_string() == detail)
                .unwrap()
        };
        let (owner, held) = (
            graph
                .nodes
                .iter()
                .find(|node| node.title.to_string() == "thread 1")
                .unwrap(),
            node("0x10"),
        );
        assert!(held.y < owner.y && node("0x20").y < held.y);
        let titles: Vec<String> = graph.nodes.iter().map(|node| node.title.to_string()).collect();
        assert!(
            titles.contains(&"2 threads".to_owned()) && titles.contains(&"thread 5".to_owned()),
            "{titles:?}"
        );
        assert_eq!(graph.edges.len(), graph.nodes.len() - 1, "a tree");
    }

    #[test]
    fn a_circle_has_as_many_arrows_as_nodes() {
        let graph = graph(vec![
            lock(0x10, 2, &[1, 8, 9]),
            lock(0x20, 3, &[2]),
            lock(0x30, 1, &[3]),
        ])
        .unwrap();
        assert_eq!((graph.nodes.len(), graph.edges.len()), (6, 6));
        assert!(
            graph
                .nodes
                .iter()
                .any(|node| node.detail.to_string() == "0x10 (+2 waiting)")
        );
    }

    #[test]
    fn every_node_lies_in_the_picture_apart_from_the_others() {
        let many = (0..20).map(|n| lock(0x100 + n, 1 + (n % 5) as i32, &[100 + n as i32, 200 + n as i32]));
        let graph = graph(many.chain([lock(0x900, 900, &[900])]).collect()).unwrap();
        for (number, node) in graph.nodes.iter().enumerate() {
            assert!(
                node.x >= WIDTH / 2 && node.x + WIDTH / 2 <= graph.width,
                "{}",
                node.title
            );
            assert!(
                node.y >= HEIGHT / 2 && node.y + HEIGHT / 2 <= graph.height,
                "{}",
                node.title
            );
            let overlaps =
                |other: &Node| (node.x - other.x).abs() < WIDTH && (node.y - other.y).abs() < HEIGHT;
            assert!(
                !graph.nodes.iter().skip(number + 1).any(overlaps),
                "{}",
                node.title
            );
        }
    }

    #[test]
    fn without_owners_there_is_nothing_to_draw() {
        let condition = Lock {
            owner_tid: None,
            ..lock(0x10, 1, &[2])
        };
        assert!(graph(vec![condition]).is_none() && graph(vec![]).is_none());
    }
}
