//! A reading of the input that takes every well-formed CBOR, so that a class of differences can be
//! described by what is in the bytes and not by what somebody said about them.

/// Deepest nesting that is looked into.
const DEPTH_MAX: usize = 32;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) major: u8,
    /// The number, or the length of what follows.
    pub(crate) argument: u64,
    pub(crate) longer: bool,
    pub(crate) indefinite: bool,
    pub(crate) tagged: bool,
    pub(crate) children: Vec<Self>,
    /// What a string holds.
    pub(crate) data: Vec<u8>,
    end: usize,
}

/// The items of the outermost array.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) top: Option<Node>,
}

/// A block as far as it can be recognised.
#[derive(Debug)]
pub(crate) struct SeenBlock<'a> {
    pub(crate) fields: &'a [Node],
    pub(crate) kind: u64,
    pub(crate) number: u64,
    pub(crate) flags: u64,
    pub(crate) data: &'a Node,
}

impl Node {
    fn read(bytes: &[u8], start: usize, depth: usize) -> Option<Self> {
        let first = *bytes.get(start)?;
        let (major, info) = (first >> 5, first & 0x1f);
        let width: usize = match info {
            0..=23 | 31 => 0,
            24..=27 => 1 << (info - 24),
            _ => return None,
        };
        let raw = bytes.get(start + 1..start + 1 + width)?;
        let wide = raw.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let argument = if width == 0 { u64::from(info) } else { wide };
        let least = match width {
            0 | 1 => 24,
            2 => 0x100,
            4 => 0x1_0000,
            _ => 0x1_0000_0000,
        };
        let mut node = Self {
            major,
            argument,
            longer: width > 0 && argument < least && major < 7,
            indefinite: info == 31,
            tagged: false,
            children: Vec::new(),
            data: Vec::new(),
            end: start + 1 + width,
        };
        match (major, node.indefinite) {
            (0 | 1, true) | (6 | 7, true) => return None,
            (2 | 3, false) => {
                let len = usize::try_from(argument).ok()?;
                node.data = bytes.get(node.end..node.end.checked_add(len)?)?.to_vec();
                node.end += len;
            }
            (2..=5, true) => {
                while *bytes.get(node.end)? != 0xff {
                    node.push(bytes, depth)?;
                }
                node.end += 1;
                if major < 4 {
                    node.data = node.children.iter().flat_map(|child| child.data.clone()).collect();
                }
            }
            (4 | 5, false) => {
                for _ in 0..argument.checked_mul(u64::from(major) - 3)? {
                    node.push(bytes, depth)?;
                }
            }
            (6, false) => {
                let inner = Self::read(bytes, node.end, depth.checked_sub(1)?)?;
                return Some(Self { tagged: true, ..inner });
            }
            _ => {}
        }
        Some(node)
    }

    fn push(&mut self, bytes: &[u8], depth: usize) -> Option<()> {
        let child = Self::read(bytes, self.end, depth.checked_sub(1)?)?;
        self.end = child.end;
        self.children.push(child);
        Some(())
    }

    /// Whether this or any item in it has the property.
    pub(crate) fn any(&self, has: &dyn Fn(&Self) -> bool) -> bool {
        has(self) || self.children.iter().any(|child| child.any(has))
    }

    pub(crate) fn is_uint(&self) -> bool {
        self.major == 0
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if self.major == 3 { core::str::from_utf8(&self.data).ok() } else { None }
    }

    /// The first item of what a byte string holds, and whether more follows.
    pub(crate) fn inner(&self) -> Option<(Self, bool)> {
        let node = Self::read(&self.data, 0, DEPTH_MAX)?;
        let more = node.end != self.data.len();
        Some((node, more))
    }
}

impl Seen {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self { top: Node::read(bytes, 0, DEPTH_MAX) }
    }

    fn items(&self) -> &[Node] {
        self.top.as_ref().map(|top| top.children.as_slice()).unwrap_or_default()
    }

    /// A field of the primary block.
    pub(crate) fn primary(&self, field: usize) -> Option<&Node> {
        self.items().first()?.children.get(field)
    }

    /// The bundle's flags.
    pub(crate) fn flags(&self) -> u64 {
        self.primary(1).map_or(0, |flags| flags.argument)
    }

    /// Destination, source and report-to, and what previous node blocks say.
    pub(crate) fn eids(&self) -> Vec<Node> {
        let mut eids: Vec<Node> = (3..6).filter_map(|field| self.primary(field).cloned()).collect();
        let nodes = self.blocks().filter(|block| block.kind == 6).filter_map(|block| block.data.inner());
        eids.extend(nodes.map(|(eid, _)| eid));
        eids
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = SeenBlock<'_>> {
        self.items().iter().skip(1).filter_map(|block| {
            let [kind, number, flags, _, data, ..] = block.children.as_slice() else { return None };
            let (fields, kind, number) = (block.children.as_slice(), kind.argument, number.argument);
            Some(SeenBlock { fields, kind, number, flags: flags.argument, data })
        })
    }

    /// The numbers of the blocks that are encrypted.
    pub(crate) fn encrypted(&self) -> Vec<u64> {
        let envelopes = self.blocks().filter(|block| block.kind == 12);
        let targets = envelopes.filter_map(|block| block.data.inner());
        targets.flat_map(|(targets, _)| targets.children).map(|target| target.argument).collect()
    }

    /// Whether any item of the bundle, or of what its known blocks hold, has the property.
    pub(crate) fn any(&self, has: &dyn Fn(&Node) -> bool) -> bool {
        let known = |block: &SeenBlock<'_>| matches!(block.kind, 6 | 7 | 10);
        self.top.as_ref().is_some_and(|top| top.any(has))
            || self
                .blocks()
                .filter(known)
                .any(|block| block.data.inner().is_some_and(|(node, _)| node.any(has)))
    }
}
