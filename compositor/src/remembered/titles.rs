//! Titles as the file has them: a keyed hash, so that the file tells which of several windows a place was of and no title.
//!
//! The key is random and in the same file. Whoever has the file learns no title from it, but can try whether a title that they
//! think of was there.

use std::hash::Hasher as _;
#[expect(
    deprecated,
    reason = "SipHash-2-4 by that name: the one for maps may be another one in another release"
)]
use std::hash::SipHasher;

use rustix::rand::{GetRandomFlags, getrandom};

/// What titles are hashed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TitleKey([u64; 2]);

impl TitleKey {
    /// A new one; `None` if there are no random numbers.
    pub(super) fn random() -> Option<Self> {
        let mut bytes = [0_u8; 16];
        let got = getrandom(&mut bytes, GetRandomFlags::empty());
        (got == Ok(bytes.len())).then(|| Self::of(u128::from_ne_bytes(bytes)))
    }

    /// The one that a file has, in 32 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self::of)
    }

    fn of(number: u128) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = number.to_be_bytes();
        Self([u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes(rest)])
    }

    /// As the file has it.
    pub(super) fn text(self) -> String {
        let Self([high, low]) = self;
        format!("{high:016x}{low:016x}")
    }

    /// What the file has in the place of the title of a window of an origin and application; nothing for no title. The same title of
    /// another VM or application is something else.
    pub(super) fn digest(self, vm: &str, app_id: &str, title: &str) -> String {
        if title.is_empty() {
            return String::new();
        }
        let Self([high, low]) = self;
        #[expect(deprecated, reason = "see above")]
        let mut hasher = SipHasher::new_with_keys(high, low);
        for text in [vm, app_id, title] {
            // No two lists of words give the same bytes.
            hasher.write(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.write(text.as_bytes());
        }
        format!("{:016x}", hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers stay in files: a release that computed others would know no window again.
    #[test]
    fn a_digest_is_the_same_in_every_release_and_another_one_for_another_key_vm_or_application() {
        let key = TitleKey::parse("000102030405060708090a0b0c0d0e0f").unwrap();
        let digest = key.digest("work", "foot", "invoice");
        assert_eq!(digest, "00dfc2583c58f41f");
        assert_eq!(TitleKey::parse(&key.text()), Some(key));
        let others = [
            key.digest("web", "foot", "invoice"),
            key.digest("work", "foo", "tinvoice"),
            key.digest("work", "foot", "invoices"),
            TitleKey::random().unwrap().digest("work", "foot", "invoice"),
        ];
        assert!(!others.contains(&digest), "{others:?}");
        assert_eq!(key.digest("work", "foot", ""), "");
    }

    #[test]
    fn what_is_no_key_is_none() {
        for text in ["", "0", "+0010203040506070809a0b0c0d0e0f0", "g00102030405060708090a0b0c0d0e0f"] {
            assert_eq!(TitleKey::parse(text), None, "{text}");
        }
    }
}
