//! Messages of the server other than `CopyData`, as values.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::model::ServerError;
use crate::pg::PgError;

/// No message that we ask for, other than `CopyData`, comes near this; a length beyond it is line noise.
pub(super) const LARGEST_MESSAGE: usize = 256 << 20;

/// A message: its tag, and its body without the length.
#[derive(Debug)]
pub(super) struct Message {
    pub tag: u8,
    pub body: Bytes,
}

/// Takes the next message off `buffer`, reading more when needed. Safe to cancel: what was read stays in `buffer`.
pub(super) async fn next_message<R>(
    stream: &mut R,
    buffer: &mut BytesMut,
    doing: &str,
) -> Result<Message, PgError>
where
    R: AsyncRead + Unpin,
{
    loop {
        if let Some(message) = split_message(buffer)? {
            return Ok(message);
        }
        let read = stream
            .read_buf(buffer)
            .await
            .map_err(|source| PgError::Io {
                doing: doing.to_owned(),
                source,
            })?;
        if read == 0 {
            return Err(PgError::Closed {
                doing: doing.to_owned(),
            });
        }
    }
}

fn split_message(buffer: &mut BytesMut) -> Result<Option<Message>, PgError> {
    let Some(&[tag, a, b, c, d]) = buffer.first_chunk::<5>() else {
        return Ok(None);
    };
    let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(0);
    if !(4..=LARGEST_MESSAGE).contains(&length) {
        return Err(PgError::Protocol {
            what: format!("message {:?} announces {length} bytes", char::from(tag)),
        });
    }
    if buffer.len() < length + 1 {
        return Ok(None);
    }
    buffer.advance(5);
    Ok(Some(Message {
        tag,
        body: buffer.split_to(length - 4).freeze(),
    }))
}

impl Message {
    /// An `ErrorResponse` or `NoticeResponse`, every field.
    pub fn to_server_error(&self) -> ServerError {
        let mut error = ServerError::default();
        let (mut file, mut line, mut routine) = (None, None, None);
        for field in self.body.split(|&byte| byte == 0) {
            let Some((&kind, value)) = field.split_first() else {
                continue;
            };
            let value = String::from_utf8_lossy(value).into_owned();
            match kind {
                b'S' if error.severity.is_empty() => error.severity = value,
                b'V' => error.severity = value,
                b'C' => error.code = value,
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'H' => error.hint = Some(value),
                b'P' => error.position = value.parse().ok(),
                b'p' => error.internal_position = value.parse().ok(),
                b'q' => error.internal_query = Some(value),
                b'W' => error.context = Some(value),
                b's' => error.schema = Some(value),
                b't' => error.table = Some(value),
                b'c' => error.column = Some(value),
                b'd' => error.data_type = Some(value),
                b'n' => error.constraint = Some(value),
                b'F' => file = Some(value),
                b'L' => line = Some(value),
                b'R' => routine = Some(value),
                _ => {}
            }
        }
        if let (Some(file), Some(line), Some(routine)) = (file, line, routine) {
            error.routine = Some(format!("{routine}, {file}:{line}"));
        }
        error
    }

    /// The row count of a `CommandComplete` tag such as `COPY 42`.
    pub fn tag_rows(&self) -> Option<u64> {
        let tag = self.body.strip_suffix(b"\0").unwrap_or(&self.body);
        std::str::from_utf8(tag)
            .ok()?
            .rsplit(' ')
            .next()?
            .parse()
            .ok()
    }

    /// The first column of a `DataRow`, if it is a number.
    pub fn first_number(&self) -> Result<Option<u64>, PgError> {
        let columns = self.to_columns()?;
        let text = columns.first().and_then(Option::as_deref);
        Ok(text.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()))
    }

    /// The columns of a `DataRow`, in text format.
    pub fn to_columns(&self) -> Result<Vec<Option<Bytes>>, PgError> {
        let truncated = || PgError::Protocol {
            what: "a DataRow ends in the middle of a column".into(),
        };
        let mut body = self.body.clone();
        let count = body.try_get_u16().map_err(|_| truncated())?;
        let mut columns = Vec::new();
        for _ in 0..count {
            let length = body.try_get_i32().map_err(|_| truncated())?;
            match usize::try_from(length) {
                Err(_) => columns.push(None),
                Ok(length) if length <= body.len() => columns.push(Some(body.split_to(length))),
                Ok(_) => return Err(truncated()),
            }
        }
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_bounded() {
        for bytes in [
            &b"Z\xff\xff\xff\xff"[..],
            b"Z\0\0\0\0",
            b"Z\x7f\xff\xff\xff",
        ] {
            assert!(
                split_message(&mut BytesMut::from(bytes)).is_err(),
                "{bytes:?}"
            );
        }
        assert!(
            split_message(&mut BytesMut::from(&b"Z\0\0\0\x05"[..]))
                .expect("valid")
                .is_none()
        );
    }

    #[test]
    fn error_fields_are_kept() {
        let body = Bytes::from_static(
            b"SERREUR\0VERROR\0C42P01\0Mno such table\0P15\0Fa.c\0L7\0Rparse\0\0",
        );
        let error = Message { tag: b'E', body }.to_server_error();
        assert_eq!(
            (error.severity.as_str(), error.code.as_str(), error.position),
            ("ERROR", "42P01", Some(15))
        );
        assert_eq!(error.routine.as_deref(), Some("parse, a.c:7"));
    }

    #[test]
    fn a_cut_data_row_is_an_error() {
        let whole = b"\0\x02\0\0\0\x01x\xff\xff\xff\xff";
        let row = Message {
            tag: b'D',
            body: Bytes::from_static(whole),
        }
        .to_columns()
        .expect("whole");
        assert_eq!(row, [Some(Bytes::from_static(b"x")), None]);
        for end in 0..whole.len() {
            assert!(
                Message {
                    tag: b'D',
                    body: Bytes::copy_from_slice(&whole[..end])
                }
                .to_columns()
                .is_err()
            );
        }
    }
}
