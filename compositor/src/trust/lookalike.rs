//! Letters that look like Latin ones, so that a title that imitates a label is noticed in whatever script it is spelt.
//!
//! The facts are those of the Unicode data file `confusables.txt` (UTS #39) as far as they concern the letters and digits of
//! ASCII; forms that compatibility decomposition (NFKD) resolves, such as fullwidth and mathematical letters, need no line.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Characters, and the Latin letter in lower case that each is taken for.
const LETTERS: [(&str, char); 26] = [
    ("аɑαạΑАӐ⍺", 'a'),
    ("ВвΒʙЪЬьƄ", 'b'),
    ("сСϲϹⲥⅽ", 'c'),
    ("ԁԀɗⅾ", 'd'),
    ("еЕєЄεΕҽ℮ɛ", 'e'),
    ("ƒϜғ", 'f'),
    ("ɡցԌԍ", 'g'),
    ("НнΗһҺհ", 'h'),
    ("іІΙιıɩӀӏ∣ǀ", 'l'),
    ("јЈϳ", 'j'),
    ("кКΚκĸ", 'k'),
    ("ӏІ∣ⅼ", 'l'),
    ("МмΜⅿ", 'm'),
    ("ΝпηոռПՈ", 'n'),
    ("оОοΟσօՕסഠ၀", 'o'),
    ("рРρΡϱ", 'p'),
    ("ԛԚգ", 'q'),
    ("гГᴦʀ", 'r'),
    ("ѕЅʂՏ", 's'),
    ("тТΤτ", 't'),
    ("υսʋЦцμΥ", 'u'),
    ("νѵѴΝ∨", 'v'),
    ("ωшШԝԜѡաϢ", 'w'),
    ("хХΧχ×", 'x'),
    ("уУүҮγΥʏ", 'y'),
    ("ΖᴢʐȤ", 'z'),
];

/// Text as a hasty reader sees it: without marks, and with the letters of other scripts that look like Latin ones in their place.
/// What is no letter of ASCII after that stays as it is.
pub fn seen(text: &str) -> impl Iterator<Item = char> {
    text.nfkd().filter(|c| !is_combining_mark(*c)).map(|c| {
        let found = (!c.is_ascii()).then(|| LETTERS.iter().find(|(forms, _)| forms.contains(c)));
        found.flatten().map_or(c, |(_, letter)| *letter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_scripts_and_forms_are_read_as_latin() {
        for text in ["Ваnk", "Ｂａｎｋ", "𝐁𝐚𝐧𝐤", "Ḅạṅḳ", "ΒΑΝΚ", "ⓑⓐⓝⓚ"]
        {
            let read: String = seen(text).flat_map(char::to_lowercase).collect();
            assert_eq!(read, "bank", "{text}");
        }
    }

    #[test]
    fn what_looks_like_nothing_else_is_left() {
        assert_eq!(seen("漢字 שלום").collect::<String>(), "漢字 שלום");
    }
}
