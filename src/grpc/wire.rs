//! Walking protobuf without building messages: fields of a message in order, values borrowed from the wire.
//!
//! More than half of what a check costs with a stock codec is decoding maps of strings that nobody reads.

/// One field: its number and its value.
pub(super) type Field<'a> = (u32, Value<'a>);

/// A value by wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number of any width: we read none of them.
    Number,
    /// A string, bytes, or a message.
    Bytes(&'a [u8]),
}

/// Not protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Calls `each` for every field of a message.
pub(super) fn walk<'a>(
    mut message: &'a [u8],
    mut each: impl FnMut(u32, Value<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while !message.is_empty() {
        let ((number, value), rest) = field(message)?;
        each(number, value)?;
        message = rest;
    }
    Ok(())
}

/// A string field: UTF-8, as proto3 demands.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

/// Splits off the first field.
fn field(message: &[u8]) -> Result<(Field<'_>, &[u8]), Malformed> {
    let (key, rest) = varint(message)?;
    let number = u32::try_from(key >> 3).map_err(|_| Malformed)?;
    if number == 0 {
        return Err(Malformed);
    }
    let (value, rest) = match key & 7 {
        0 => (Value::Number, varint(rest)?.1),
        1 => (Value::Number, rest.get(8..).ok_or(Malformed)?),
        2 => {
            let (length, rest) = varint(rest)?;
            let length = usize::try_from(length).map_err(|_| Malformed)?;
            let (bytes, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
            (Value::Bytes(bytes), rest)
        }
        5 => (Value::Number, rest.get(4..).ok_or(Malformed)?),
        // Groups (3, 4) are not in proto3.
        _ => return Err(Malformed),
    };
    Ok(((number, value), rest))
}

/// A base-128 number of at most ten bytes.
fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let mut number = 0_u64;
    let mut rest = bytes;
    for shift in (0..70).step_by(7) {
        let (&byte, tail) = rest.split_first().ok_or(Malformed)?;
        rest = tail;
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
        if byte & 0x80 == 0 {
            return Ok((number, rest));
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn damaged_messages_are_told() {
        for message in
            [&[0x0a][..], &[0x0a, 5, 1], &[0x00, 1], &[0x0b], &[0x80], &[0xff; 11], &[0x09, 1, 2], &[0x0d, 1]]
        {
            assert_eq!(walk(message, |_, _| Ok(())), Err(Malformed), "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(message in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = walk(&message, |_, _| Ok(()));
        }
    }
}
