//! CBOR items that can be written in every form, also in those that no bundle may have.

/// What the head of an item looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Form {
    /// As short as it can be.
    #[default]
    Shortest,
    /// With that many more steps of width than necessary.
    Longer(u8),
    /// Without a length, and ended by a stop code; numbers stay as they are.
    Indefinite,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Uint(u64),
    Nint(u64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Item>),
    /// The checksum of the block that it stands in, of type 1 or 2, and what it is damaged with.
    Crc(u64, u8),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) tag: Option<u64>,
    pub(crate) form: Form,
    pub(crate) value: Value,
}

impl From<Value> for Item {
    fn from(value: Value) -> Self {
        Self { tag: None, form: Form::Shortest, value }
    }
}

pub(crate) fn uint(value: u64) -> Item {
    Value::Uint(value).into()
}

pub(crate) fn bytes(value: Vec<u8>) -> Item {
    Value::Bytes(value).into()
}

pub(crate) fn array(items: Vec<Item>) -> Item {
    Value::Array(items).into()
}

impl Item {
    /// All items of the tree, this one first.
    pub(crate) fn count(&self) -> usize {
        1 + self.children().iter().map(Self::count).sum::<usize>()
    }

    fn children(&self) -> &[Self] {
        match &self.value {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// The item with that number in the order of [`Item::count`].
    pub(crate) fn nth(&mut self, index: usize) -> Option<&mut Self> {
        if index == 0 {
            return Some(self);
        }
        let mut left = index - 1;
        let Value::Array(items) = &mut self.value else { return None };
        for item in items {
            let count = item.count();
            if left < count {
                return item.nth(left);
            }
            left -= count;
        }
        None
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, None);
        out
    }

    /// Encodes a block: its checksum counts from the block's first byte and stands where the item
    /// for it stands.
    pub(crate) fn encode_block(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut place = None;
        self.write(&mut out, Some(&mut place));
        let Some((at, kind, damage)) = place else { return out };
        let sum = match kind {
            1 => crc::Crc::<u16>::new(&crc::CRC_16_IBM_SDLC).checksum(&out).to_be_bytes().to_vec(),
            _ => crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&out).to_be_bytes().to_vec(),
        };
        for (byte, value) in out[at..].iter_mut().zip(sum) {
            *byte = value;
        }
        out[at] ^= damage;
        out
    }

    fn write(&self, out: &mut Vec<u8>, mut place: Option<&mut Option<(usize, u64, u8)>>) {
        if let Some(tag) = self.tag {
            head(out, 6, tag, Form::Shortest);
        }
        match &self.value {
            Value::Uint(value) => head(out, 0, *value, self.form),
            Value::Nint(value) => head(out, 1, *value, self.form),
            Value::Bytes(data) => string(out, 2, data, self.form),
            Value::Text(text) => string(out, 3, text.as_bytes(), self.form),
            Value::Array(items) => {
                head(out, 4, u64::try_from(items.len()).expect("few items"), self.form);
                for item in items {
                    item.write(out, place.as_deref_mut());
                }
                if self.form == Form::Indefinite {
                    out.push(0xff);
                }
            }
            Value::Crc(kind, damage) => {
                let zeros: &[u8] = if *kind == 1 { &[0; 2] } else { &[0; 4] };
                string(out, 2, zeros, self.form);
                let at = out.len() - zeros.len() - usize::from(self.form == Form::Indefinite);
                if let Some(place) = place {
                    *place = Some((at, *kind, *damage));
                }
            }
        }
    }
}

fn string(out: &mut Vec<u8>, major: u8, data: &[u8], form: Form) {
    if form != Form::Indefinite {
        head(out, major, u64::try_from(data.len()).expect("short"), form);
        out.extend_from_slice(data);
        return;
    }
    out.push(major << 5 | 31);
    for chunk in data.chunks(5) {
        string(out, major, chunk, Form::Shortest);
    }
    out.push(0xff);
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64, form: Form) {
    let major = major << 5;
    let least: usize = match argument {
        0..=23 => 0,
        24..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 3,
        _ => 4,
    };
    let width = match form {
        Form::Shortest => least,
        Form::Longer(more) => (least + usize::from(more)).min(4),
        Form::Indefinite if major >= 2 << 5 => {
            out.push(major | 31);
            return;
        }
        Form::Indefinite => least,
    };
    let bytes = argument.to_be_bytes();
    match width {
        0 => out.push(major | bytes[7]),
        _ => {
            out.push(major | (23 + u8::try_from(width).expect("at most 4")));
            out.extend_from_slice(&bytes[8 - (1 << (width - 1))..]);
        }
    }
}
