//! The line of an instruction, by a code object's table of locations (CPython, `Objects/locations.md`).

/// Bit of the byte that begins an entry.
const BEGINS: u8 = 0x80;
/// Bytes of an instruction, which is what an entry's length counts.
const INSTRUCTION: u64 = 2;

/// Kinds of entries.
const ONE_LINE: u8 = 10;
const NO_COLUMNS: u8 = 13;
const LONG: u8 = 14;
const NONE: u8 = 15;

/// The line at an offset in the code, bytes; none where the table names none.
pub(super) fn at(table: &[u8], first: i32, offset: u64) -> Option<u32> {
    let mut line = i64::from(first);
    let mut end = 0;
    let mut rest = table;
    while let Some((head, behind)) = rest.split_first() {
        let kind = head >> 3 & 0xf;
        line += match kind {
            ONE_LINE..NO_COLUMNS => i64::from(kind - ONE_LINE),
            NO_COLUMNS | LONG => signed(behind),
            _ => 0,
        };
        end += (u64::from(head & 7) + 1) * INSTRUCTION;
        if offset < end {
            return u32::try_from(line).ok().filter(|_| kind != NONE);
        }
        let next = behind.iter().position(|byte| byte & BEGINS != 0)?;
        rest = &behind[next..];
    }
    None
}

/// A number in pieces of six bits, the lowest first, whose lowest bit is its sign.
fn signed(bytes: &[u8]) -> i64 {
    let mut value: u32 = 0;
    for (place, byte) in bytes.iter().take(6).enumerate() {
        value |= u32::from(byte & 0x3f).checked_shl(6 * place as u32).unwrap_or(0);
        if byte & 0x40 == 0 {
            break;
        }
    }
    let size = i64::from(value >> 1);
    if value & 1 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: u8, instructions: u8, rest: &[u8]) -> Vec<u8> {
        let mut entry = vec![BEGINS | kind << 3 | (instructions - 1)];
        entry.extend(rest);
        entry
    }

    #[test]
    fn every_kind_of_entry_is_counted() {
        let table = [
            entry(ONE_LINE, 1, &[0, 0]),
            entry(3, 2, &[0x10]),
            entry(ONE_LINE + 2, 1, &[4, 9]),
            entry(NO_COLUMNS, 1, &[3]),
            entry(LONG, 1, &[0x40 | 2, 1, 0, 1, 1]),
            entry(NONE, 8, &[]),
        ]
        .concat();
        let lines = [0, 2, 5, 6, 8, 10, 12, 27, 28].map(|offset| at(&table, 7, offset));
        // -1, then 2 | 1 << 6 = 66: + 33.
        let expected = [
            Some(7),
            Some(7),
            Some(7),
            Some(9),
            Some(8),
            Some(41),
            None,
            None,
            None,
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_damaged_table_ends_the_search() {
        assert_eq!(at(&[], 1, 0), None);
        assert_eq!(at(&[0xff], 1, 100), None);
        assert_eq!(
            at(
                &[BEGINS | NO_COLUMNS << 3, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f],
                1,
                0
            ),
            None
        );
        assert_eq!(at(&[0; 1000], 1, 5000), None);
    }
}
