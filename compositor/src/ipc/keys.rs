//! Names of keys and buttons, as Linux calls them (`linux/input-event-codes.h`).

/// Keys by name, without the `KEY_` of the header, in lower case.
const KEYS: &[(&str, u32)] = &[
    ("esc", 1),
    ("1", 2),
    ("2", 3),
    ("3", 4),
    ("4", 5),
    ("5", 6),
    ("6", 7),
    ("7", 8),
    ("8", 9),
    ("9", 10),
    ("0", 11),
    ("minus", 12),
    ("equal", 13),
    ("backspace", 14),
    ("tab", 15),
    ("q", 16),
    ("w", 17),
    ("e", 18),
    ("r", 19),
    ("t", 20),
    ("y", 21),
    ("u", 22),
    ("i", 23),
    ("o", 24),
    ("p", 25),
    ("leftbrace", 26),
    ("rightbrace", 27),
    ("enter", 28),
    ("leftctrl", 29),
    ("a", 30),
    ("s", 31),
    ("d", 32),
    ("f", 33),
    ("g", 34),
    ("h", 35),
    ("j", 36),
    ("k", 37),
    ("l", 38),
    ("semicolon", 39),
    ("apostrophe", 40),
    ("grave", 41),
    ("leftshift", 42),
    ("backslash", 43),
    ("z", 44),
    ("x", 45),
    ("c", 46),
    ("v", 47),
    ("b", 48),
    ("n", 49),
    ("m", 50),
    ("comma", 51),
    ("dot", 52),
    ("slash", 53),
    ("rightshift", 54),
    ("kpasterisk", 55),
    ("leftalt", 56),
    ("space", 57),
    ("capslock", 58),
    ("f1", 59),
    ("f2", 60),
    ("f3", 61),
    ("f4", 62),
    ("f5", 63),
    ("f6", 64),
    ("f7", 65),
    ("f8", 66),
    ("f9", 67),
    ("f10", 68),
    ("numlock", 69),
    ("scrolllock", 70),
    ("kp7", 71),
    ("kp8", 72),
    ("kp9", 73),
    ("kpminus", 74),
    ("kp4", 75),
    ("kp5", 76),
    ("kp6", 77),
    ("kpplus", 78),
    ("kp1", 79),
    ("kp2", 80),
    ("kp3", 81),
    ("kp0", 82),
    ("kpdot", 83),
    ("102nd", 86),
    ("f11", 87),
    ("f12", 88),
    ("kpenter", 96),
    ("rightctrl", 97),
    ("kpslash", 98),
    ("sysrq", 99),
    ("rightalt", 100),
    ("home", 102),
    ("up", 103),
    ("pageup", 104),
    ("left", 105),
    ("right", 106),
    ("end", 107),
    ("down", 108),
    ("pagedown", 109),
    ("insert", 110),
    ("delete", 111),
    ("pause", 119),
    ("leftmeta", 125),
    ("rightmeta", 126),
    ("compose", 127),
    ("menu", 139),
];

/// The highest code of a key, `KEY_MAX` of the header.
pub const MAX_CODE: u32 = 0x2ff;

/// The pointer's buttons by name.
const BUTTONS: &[(&str, u32)] = &[("left", 0x110), ("right", 0x111), ("middle", 0x112)];

fn find(table: &[(&str, u32)], name: &str) -> Option<u32> {
    table.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

/// The evdev code of a key, by its name in lower or upper case, with or without `KEY_`.
#[must_use]
pub fn key(name: &str) -> Option<u32> {
    let name = name.to_ascii_lowercase();
    find(KEYS, name.strip_prefix("key_").unwrap_or(&name))
}

/// The evdev code of a button: `left`, `right` or `middle`.
#[must_use]
pub fn button(name: &str) -> Option<u32> {
    find(BUTTONS, name)
}

/// Every name that [`key`] knows.
pub fn key_names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_their_names() {
        for (name, code) in [("a", 30), ("enter", 28), ("LEFTSHIFT", 42), ("KEY_F12", 88), ("leftmeta", 125)]
        {
            assert_eq!(key(name), Some(code), "{name}");
        }
        for name in ["", "key_", "return", "a b"] {
            assert_eq!(key(name), None, "{name}");
        }
    }

    #[test]
    fn no_name_or_code_is_listed_twice() {
        let mut names: Vec<_> = KEYS.iter().map(|(name, _)| name).collect();
        let mut codes: Vec<_> = KEYS.iter().map(|(_, code)| code).collect();
        names.sort_unstable();
        names.dedup();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!((names.len(), codes.len()), (KEYS.len(), KEYS.len()));
    }
}
