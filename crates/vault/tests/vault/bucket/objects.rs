//! The objects of a small S3 store in memory, and its answers to sound requests.
//!
//! It knows no conditional writes: `If-None-Match` is as if it were not there. What is put or
//! deleted late is not seen by the next reads and lists.
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::http::{Answer, Request};

/// Names in one page of a list: few, so that lists have several.
const PAGE: usize = 5;

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    tag: String,
    /// Reads and lists that do not see it yet.
    unread: u32,
    unlisted: u32,
}

/// What is stored.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    all: BTreeMap<String, Object>,
    /// Deleted ones, and the lists that still name them.
    ghosts: BTreeMap<String, (Object, u32)>,
    uploads: BTreeMap<String, BTreeMap<usize, Bytes>>,
    uploads_begun: usize,
}

/// Whether a change is seen at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    AtOnce,
    Late,
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &blake3::hash(bytes).to_hex()[..32])
}

impl Objects {
    pub(crate) fn bytes(&self, key: &str) -> Option<&Bytes> {
        self.all.get(key).map(|object| &object.bytes)
    }

    /// Uploads in parts that were neither completed nor ended.
    pub(crate) fn unfinished_uploads(&self) -> usize {
        self.uploads.len()
    }

    /// Damages an object, or takes it away.
    pub(crate) fn set(&mut self, key: &str, bytes: Option<Bytes>) {
        match bytes {
            Some(bytes) => drop(self.put(key.to_owned(), bytes, None, Seen::AtOnce)),
            None => drop(self.all.remove(key)),
        }
    }

    fn put(&mut self, key: String, bytes: Bytes, parts: Option<usize>, seen: Seen) -> String {
        let late = u32::from(seen == Seen::Late);
        let tag = match parts {
            None => tag(&bytes),
            Some(count) => format!("\"{}-{count}\"", tag(&bytes).trim_matches('"')),
        };
        let object = Object {
            bytes,
            tag: tag.clone(),
            unread: 2 * late,
            unlisted: late,
        };
        self.all.insert(key, object);
        tag
    }

    fn delete(&mut self, key: &str, seen: Seen) {
        if let Some(object) = self.all.remove(key)
            && seen == Seen::Late
        {
            self.ghosts.insert(key.to_owned(), (object, 1));
        }
    }

    /// Does what a request asks for.
    pub(crate) fn apply(&mut self, request: &Request, seen: Seen) -> Answer {
        let query = |name: &str| request.query.get(name);
        let key = &request.key;
        match (request.method.as_str(), query("uploadId")) {
            ("GET", _) if key.is_empty() => self.list(request),
            ("GET" | "HEAD", _) => self.get(request),
            ("PUT", Some(upload)) => {
                let Some(parts) = self.uploads.get_mut(upload) else {
                    return Answer::error(404, "NoSuchUpload");
                };
                let number = query("partNumber").unwrap().parse().unwrap();
                parts.insert(number, request.body.clone());
                Answer::new(200, "").with("ETag", tag(&request.body))
            }
            ("PUT", None) => match request.headers.get("x-amz-copy-source") {
                Some(source) => self.copy(source, key, seen),
                None => {
                    let tag = self.put(key.clone(), request.body.clone(), None, seen);
                    Answer::new(200, "").with("ETag", tag)
                }
            },
            ("POST", Some(upload)) => self.complete(upload, request, seen),
            ("POST", None) if query("uploads").is_some() => {
                self.uploads_begun += 1;
                let id = format!("upload{}", self.uploads_begun);
                let text = format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                );
                self.uploads.insert(id, BTreeMap::new());
                Answer::new(200, text)
            }
            ("POST", None) => {
                let mut text = String::from("<DeleteResult>");
                for key in between(&request.body, "Key") {
                    self.delete(&key, seen);
                    text += &format!("<Deleted><Key>{key}</Key></Deleted>");
                }
                Answer::new(200, text + "</DeleteResult>")
            }
            ("DELETE", Some(upload)) => {
                self.uploads.remove(upload);
                Answer::new(204, "")
            }
            ("DELETE", None) => {
                self.delete(key, seen);
                Answer::new(204, "")
            }
            _ => Answer::error(501, "NotImplemented"),
        }
    }

    fn copy(&mut self, source: &str, key: &str, seen: Seen) -> Answer {
        let source = super::http::decoded(source, '+');
        let source = source.trim_start_matches('/').split_once('/').unwrap().1;
        let Some(bytes) = self.bytes(source).cloned() else {
            return Answer::error(404, "NoSuchKey");
        };
        let tag = self.put(key.to_owned(), bytes, None, seen);
        Answer::new(
            200,
            format!("<CopyObjectResult><ETag>{tag}</ETag></CopyObjectResult>"),
        )
    }

    /// Strict: an upload can be completed once.
    fn complete(&mut self, upload: &str, request: &Request, seen: Seen) -> Answer {
        let Some(parts) = self.uploads.remove(upload) else {
            return Answer::error(404, "NoSuchUpload");
        };
        let named: Vec<usize> = between(&request.body, "PartNumber")
            .map(|number| number.parse().unwrap())
            .collect();
        assert!(named.is_sorted(), "S3 wants them in order");
        let whole: Vec<u8> = named
            .iter()
            .flat_map(|number| parts[number].iter().copied())
            .collect();
        let tag = self.put(request.key.clone(), whole.into(), Some(named.len()), seen);
        let text = format!(
            "<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
        );
        Answer::new(200, text)
    }

    fn get(&mut self, request: &Request) -> Answer {
        let Some(object) = self.all.get_mut(&request.key) else {
            return Answer::error(404, "NoSuchKey");
        };
        if 0 < object.unread {
            object.unread -= 1;
            return Answer::error(404, "NoSuchKey");
        }
        let whole = Answer::new(200, object.bytes.clone()).with("ETag", object.tag.clone());
        let Some(range) = request.headers.get("range") else {
            return whole;
        };
        let (first, last) = range
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'))
            .unwrap();
        let size = object.bytes.len();
        let first: usize = first.parse().unwrap();
        let end = last
            .parse::<usize>()
            .map_or(size, |last| size.min(last + 1));
        if end <= first {
            return Answer::error(416, "InvalidRange");
        }
        let content = format!("bytes {first}-{}/{size}", end - 1);
        Answer {
            status: 206,
            body: object.bytes.slice(first..end),
            ..whole
        }
        .with("Content-Range", content)
    }

    fn list(&mut self, request: &Request) -> Answer {
        let query = |name: &str| request.query.get(name).map_or("", String::as_str);
        let (prefix, delimiter) = (query("prefix"), query("delimiter"));
        let after = match query("continuation-token") {
            "" => query("start-after"),
            token => token,
        };
        let mut found = BTreeMap::new();
        for (key, object) in &mut self.all {
            if !key.starts_with(prefix) || key.as_str() <= after {
                continue;
            }
            if 0 < object.unlisted {
                object.unlisted -= 1;
            } else {
                found.insert(key.clone(), object.clone());
            }
        }
        for (key, (object, lists)) in &mut self.ghosts {
            if key.starts_with(prefix) && after < key.as_str() && 0 < *lists {
                *lists -= 1;
                found.insert(key.clone(), object.clone());
            }
        }
        let (mut rows, mut folders, mut last) = (vec![], BTreeSet::new(), None);
        let mut is_more = false;
        for (key, object) in found {
            let rest = &key[prefix.len()..];
            let folder = rest.find('/').filter(|_| !delimiter.is_empty());
            let folder = folder.map(|at| key[..=prefix.len() + at].to_owned());
            if folder.as_ref().is_some_and(|f| f.as_str() <= after) {
                continue;
            }
            if PAGE <= rows.len() + folders.len()
                && !folder.as_ref().is_some_and(|f| folders.contains(f))
            {
                is_more = true;
                break;
            }
            match folder {
                Some(folder) => {
                    // Everything in the folder is behind it and before this.
                    last = Some(format!("{folder}\u{7f}"));
                    folders.insert(folder);
                }
                None => {
                    rows.push(format!(
                        "<Contents><Key>{key}</Key><Size>{}</Size><ETag>{}</ETag>\
                         <LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>",
                        object.bytes.len(),
                        object.tag
                    ));
                    last = Some(key);
                }
            }
        }
        rows.extend(
            folders.iter().map(|folder| {
                format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>")
            }),
        );
        let token = last.filter(|_| is_more).map_or_else(String::new, |last| {
            format!("<NextContinuationToken>{last}</NextContinuationToken>")
        });
        let text = format!(
            "<ListBucketResult>{}{token}</ListBucketResult>",
            rows.concat()
        );
        Answer::new(200, text)
    }
}

/// The texts of all elements of that name.
fn between(xml: &[u8], name: &str) -> impl Iterator<Item = String> {
    let text = String::from_utf8(xml.to_vec()).unwrap();
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let texts: Vec<String> = text
        .split(&open)
        .skip(1)
        .map(|rest| rest.split_once(&close).unwrap().0.to_owned())
        .collect();
    texts.into_iter()
}
