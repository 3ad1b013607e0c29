use super::*;

const PUBLIC: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
const SECRET: &str = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6";
const OTHER: &str = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";

fn metadata_of(lines: &[u8]) -> Result<Vec<(String, String)>, ParseError> {
    let mut file = b"metadata\n".to_vec();
    file.extend_from_slice(lines);
    file.extend_from_slice(format!("\ncurve\n    public-key = \"{PUBLIC}\"\n").as_bytes());
    let certificate = parse(&file)?;
    Ok(certificate.metadata().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn fault(file: impl AsRef<[u8]>) -> (Option<usize>, &'static str) {
    let fault = parse(file.as_ref()).unwrap_err();
    (fault.line, fault.problem)
}

#[test]
fn keys_are_found_anywhere_quoted_or_not() {
    for file in [
        format!("public-key={PUBLIC}\nsecret-key={SECRET}"),
        format!("  secret-key = '{SECRET}'\r\n\t public-key \t=\t \"{PUBLIC}\" \r\n"),
        format!("\u{feff}public-key = \"{PUBLIC}\"\nmetadata\n    secret-key = \"{SECRET}\"\n"),
        format!("curve\n    public-key = {PUBLIC}\n    public-key = \"{PUBLIC}\"\n    secret-key = {SECRET}"),
        format!(
            "#public-key = nothing\n    # secret-key\npublic-key-of-mine = {PUBLIC}\nsecret-key = {SECRET}\x0b\x0c\n"
        ),
    ] {
        let certificate = parse(file.as_bytes()).unwrap();
        let pair = certificate.key_pair().unwrap();
        assert_eq!((pair.public.to_string().as_str(), pair.secret.to_z85().as_str()), (PUBLIC, SECRET), "{file}");
    }
}

#[test]
fn only_the_public_key_is_required() {
    let certificate = parse(format!("public-key = {PUBLIC}").as_bytes()).unwrap();
    assert!(certificate.key_pair().is_none());
    for file in ["", "\n", "curve\n", "metadata\n    a = b\n", &format!("secret-key = {SECRET}\n")] {
        assert_eq!(fault(file), (None, "has no public-key line"));
    }
}

#[test]
fn bad_keys_are_reported_with_their_line() {
    for (text, line) in [
        ("public-key = \"short\"".to_string(), 1),
        ("\n\npublic-key\n".to_string(), 3),
        ("\npublic-key = \"\"\n".to_string(), 2),
        (format!("public-key = {PUBLIC}x"), 1),
        (format!("public-key = {}~", &PUBLIC[1..]), 1),
        (format!("public-key = \"{PUBLIC}\" # mine"), 1),
        (format!("public-key = {}", "#".repeat(40)), 1),
        (format!("public-key = {PUBLIC}\r\nsecret-key = \"short\"\r\n"), 2),
        (format!("public-key = {PUBLIC}\nsecret-key"), 2),
        (format!("public-key = {PUBLIC}\nsecret-key = {SECRET}\npublic-key = {OTHER}\n"), 3),
        (format!("public-key = {PUBLIC}\nsecret-key = {SECRET}\nsecret-key = {OTHER}\n"), 3),
    ] {
        let (told, problem) = fault(&text);
        assert_eq!(told, Some(line), "{text}");
        assert!(!problem.contains("short") && !problem.contains(&SECRET[..8]));
    }
}

#[test]
fn metadata_quoted_or_not() {
    for (line, value) in [
        ("    a = b", "b"),
        ("    a = \"b\"", "b"),
        ("    a = 'b'", "b"),
        ("\ta=b\r", "b"),
        (" a\t=\t\"b\"\t# said by ZPL\r", "b"),
        ("    a = ", ""),
        ("    a =", ""),
        ("    a = \"\"", ""),
        ("    a = \" b \"", " b "),
        ("    a = b # c", "b # c"),
        ("    a = \"b # c\"", "b # c"),
        ("    a = #b", "#b"),
        ("    a = b = c", "b = c"),
        ("    a = b\"c", "b\"c"),
        ("    a = \"b", "\"b"),
        ("    a = \"b\" and \"c\"", "\"b\" and \"c\""),
        ("    a = \"it's\"", "it's"),
        ("    a = '\"b\"'", "\"b\""),
        ("    a = \"", "\""),
        ("    a = \u{a0}b", "\u{a0}b"),
    ] {
        let read = metadata_of(line.as_bytes()).unwrap();
        assert_eq!(read, [("a".to_string(), value.to_string())], "{line:?}");
    }
}

#[test]
fn metadata_is_read_only_below_its_heading() {
    let read =
        metadata_of(b"    a = 1\nother\n    b = 2\nmetadata # again\n\n  # c = 3\n    e\n    d = 4\nf = 5\n    g = 6");
    assert_eq!(read.unwrap(), [("a".to_string(), "1".to_string()), ("d".to_string(), "4".to_string())]);
    assert_eq!(metadata_of(b"    User-Id = x").unwrap().len(), 1);
}

#[test]
fn ambiguous_and_undecodable_metadata_is_reported_with_its_line() {
    for (lines, line) in [
        (&b"    a = \xFF"[..], 2),
        (b"    a = 1\n    \xC3 = 2", 3),
        (b"    = 1", 2),
        (b"    a\x01b = 1", 2),
        (b"    a = \x00", 2),
        (b"    a = 1\n    b = 2\n    a = 3", 4),
    ] {
        let fault = metadata_of(lines).unwrap_err();
        assert_eq!(fault.line, Some(line), "{lines:?}");
    }
    assert_eq!(metadata_of(b"    a = 1\n    a = \"1\"").unwrap().len(), 1);
    let long = format!("    {} = x", "n".repeat(256));
    let fault = metadata_of(long.as_bytes()).unwrap_err();
    assert_eq!(fault.line, Some(2));
    assert!(fault.problem.contains("255 bytes"), "the reason is what the name is refused for: {}", fault.problem);
}

#[test]
fn comments_may_be_in_any_encoding() {
    let read = metadata_of(b"# Schl\xFCssel\n    #\xFF\xFE\n    a = \"b\" \nZ\xFCrich\n    x = \xFF");
    assert_eq!(read.unwrap().len(), 1);
}

#[test]
fn no_bytes_make_it_panic() {
    // Meaningful pieces in random order with random bytes between, so that most paths are taken many times.
    let key_line = format!("public-key = \"{PUBLIC}\"\n");
    let pieces: [&[u8]; 17] = [
        key_line.as_bytes(),
        b"\n",
        b"\r\n",
        b"metadata\n",
        b"curve\n",
        b"    ",
        b"\t",
        b" = ",
        b"=",
        b"\"",
        b"'",
        b"#",
        b"public-key",
        b"secret-key",
        b"\xEF\xBB\xBF",
        PUBLIC.as_bytes(),
        SECRET.as_bytes(),
    ];
    let (mut state, mut loaded) = (88_172_645_463_325_252_u64, 0);
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize
    };
    for _ in 0..50_000 {
        let mut file = Vec::new();
        for _ in 0..random() % 24 {
            match random() % 3 {
                0 => file.push(random() as u8),
                _ => file.extend_from_slice(pieces[random() % pieces.len()]),
            }
        }
        loaded += usize::from(parse(&file).is_ok());
    }
    assert!(loaded > 100, "{loaded}: the pieces no longer make certificates");
}
