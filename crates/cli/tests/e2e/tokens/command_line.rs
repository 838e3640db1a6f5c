//! The command line: minting tokens, using them, and checking a configuration.

use super::*;

/// Runs the command line.
fn ringway(launcher: &Launcher, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = launcher.command();
    command.args(args).envs(env.iter().copied());
    command.output().unwrap()
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

/// Exit code 2, and what was said.
#[track_caller]
fn misused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn ringway_token_mints_tokens_that_work() {
    let keys = Keys::new();
    let file = keys.0.path().join("acme.key").display().to_string();
    let mut launcher =
        launcher(&format!("[tenants.acme]\nkeys = [{{ alg = \"HS256\", file = \"{file}\" }}]\n"));
    let serve = launcher.serve(&[]);
    let url = format!("http://{}", serve.listen);
    let mint = |more: &[&str], env: &[(&str, &str)]| {
        let args = ["token", "--tenant", "acme", "--user", "ann"];
        ringway(&launcher, &[&args, more].concat(), env)
    };
    let secret_file = format!("file:{file}");
    let minted = [
        printed(&mint(&["--secret", &secret_file], &[])),
        printed(&mint(&["--secret", ACME], &[])),
        printed(&mint(&["--secret", "env:SECRET_OF_ACME"], &[("SECRET_OF_ACME", ACME)])),
    ];
    for token in &minted {
        let mut peer = Peer::open(&by(serve.listen, token, Some("r"))).await;
        assert_eq!(peer.hello.user.as_ref().map(|user| user.as_str()), Some("ann"));
        assert!((3_590..=3_600).contains(&peer.hello.expires.unwrap()), "an hour, unless said otherwise");
        assert_eq!(
            peer.joined().await.result.rights.unwrap(),
            ["join", "publish", "presence", "history", "call"]
        );
    }
    let some = printed(&mint(
        &["--secret", ACME, "--rooms", "board.*", "--rooms", "inbox.$user", "--ttl", "90s"],
        &[],
    ));
    let mut peer = Peer::open(&by(serve.listen, &some, None)).await;
    assert!((80..=90).contains(&peer.hello.expires.unwrap()));
    for (room, allowed) in
        [("board.1", true), ("board.1.2", false), ("inbox.ann", true), ("inbox.bob", false)]
    {
        assert_eq!(peer.ask(join(room)).await.is_ok(), allowed, "{room}");
    }
    // The other commands take one, by flag or from the environment.
    let published = ringway(&launcher, &["pub", &url, "board.1", "{\"a\":1}", "--token", &some], &[]);
    let published: Value = serde_json::from_str(&printed(&published)).unwrap();
    assert_eq!(published["offset"], 1);
    assert_eq!(text(&peer.msg().await.data), "{\"a\":1}");
    let located =
        ringway(&launcher, &["locate", "acme", "board.1", "--url", &url], &[("RINGWAY_TOKEN", &some)]);
    let located: Value = serde_json::from_str(&printed(&located)).unwrap();
    assert_eq!((&located["tenant"], located["node"].as_str()), (&json!("acme"), Some(peer.node())));
    // What they may not, or can't, they say, and end.
    for args in [
        &["pub", &url, "other", "1", "--token", &some] as &[&str],
        &["sub", &url, "other", "--token", &some],
        &["sub", &url, "board.1"],
        &["pub", &url, "board.1", "1", "--token", "x"],
        &["locate", "acme", "board.1", "--url", &url],
    ] {
        let output = ringway(&launcher, args, &[]);
        assert_eq!(output.status.code(), Some(1), "{args:?} {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(["forbidden", "token_invalid"].iter().any(|code| said.contains(code)), "{args:?} {said}");
    }
    // A secret that can't be had, and arguments that can't be.
    for (more, said) in [
        (&["--secret", "file:/nowhere/at.all"] as &[&str], "/nowhere/at.all"),
        (&["--secret", "env:NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE"),
        (&["--secret", ""], "empty"),
        (&["--secret", ACME, "--ttl", "soon"], "--ttl"),
        (&["--secret", ACME, "--rooms", ""], "--rooms"),
        (&[], "--secret"),
    ] {
        let told = misused(&mint(more, &[]));
        assert!(told.contains(said), "{more:?} {told}");
        assert!(!told.contains(ACME), "a secret isn't printed: {told}");
    }
}

#[test]
fn check_config_says_what_is_wrong_where_and_what_would_be_right() {
    let keys = Keys::new();
    let launcher = launcher(&keys.config());
    let check = |text: &str| {
        let file = keys.0.path().join("checked.toml");
        std::fs::write(&file, text).unwrap();
        ringway(&launcher, &["check-config", &file.display().to_string()], &[])
    };
    let tenant = "[tenants.acme]\nkeys = [{ alg = \"HS256\", file = \"acme.key\" }]\n";
    for (text, place, said) in [
        ("[gatewy]\n", "1:2", "gatewy: unknown key; the nearest known key is `gateway`"),
        ("[gateway]\nlissen = \"0.0.0.0:1\"\n", "2:1", "the nearest known key is `gateway.listen`"),
        ("[tenants.acme]\nkey = []\n", "2:1", "the nearest known key is `tenants.acme.keys`"),
        (
            "[tenants.acme]\nlimits = { room = 3 }\n",
            "2:12",
            "the nearest known key is `tenants.acme.limits.rooms`",
        ),
        ("[gateway]\nauth = \"jtw\"\n", "2:8", "did you mean \"jwt\"?"),
        ("[gateway\n", "1:9", ""),
        ("[gateway]\nauth = \"jwt\"\n", "2:1", "needs a tenant with keys"),
        ("[tenants.acme]\nkeys = [{ alg = \"HS256\", file = \"nowhere.key\" }]\n", "2:33", "nowhere.key"),
        (
            "[tenants.acme]\nkeys = [{ alg = \"none\", file = \"acme.key\" }]\n",
            "2:17",
            "\"none\" isn't one of them",
        ),
        (
            &format!("[tenants.acme]\nkeys = [{{ alg = \"ES256\", file = \"{KEYS}/rs256.pub.pem\" }}]\n"),
            "2:26",
            "not a public key for ES256",
        ),
        (
            &format!("[tenants.acme]\nkeys = [{{ alg = \"ES256\", file = \"{KEYS}/p384.pub.pem\" }}]\n"),
            "2:26",
            "not a public key for ES256",
        ),
        (
            &format!("[tenants.acme]\nkeys = [{{ alg = \"RS256\", file = \"{KEYS}/rsa1024.pub.pem\" }}]\n"),
            "2:26",
            "at least 2048",
        ),
        (
            &format!("[tenants.acme]\nkeys = [{{ alg = \"RS256\", file = \"{KEYS}/rs256.pem\" }}]\n"),
            "2:26",
            "a private key",
        ),
        (
            &format!("[tenants.acme]\nkeys = [{{ alg = \"HS256\", file = \"{KEYS}/rs256.pub.pem\" }}]\n"),
            "2:26",
            "holds PEM",
        ),
        (
            &format!(
                "{tenant}api_keys = [{{ id = \"a\", hash = \"rk_a_secret\", rights = [\"publish\"], rooms = [\"**\"] }}]\n"
            ),
            "3:32",
            "sha256:",
        ),
        (
            &format!("{tenant}[[classes]]\nrooms = \"a\"\nstore = \"chat\"\n"),
            "5:1",
            "there is no store \"chat\"",
        ),
        (&format!("{tenant}[[hooks]]\n"), "3:3", "not built yet"),
    ] {
        let told = misused(&check(text));
        assert!(told.contains(&format!("checked.toml:{place}: ")), "{text}\n{told}");
        assert!(told.contains(said), "{text}\n{told}");
        assert!(!told.contains("rk_a_secret"), "what may be a key isn't repeated: {told}");
    }
    // Several at once, each with its place.
    let told = misused(&check("[gateway]\nlissen = 1\n[node]\nweight = \"x\"\n"));
    assert!(told.contains("checked.toml:2:1: ") && told.contains("checked.toml:4:10: "), "{told}");
    // No server starts with it either.
    let broken = keys.0.path().join("checked.toml").display().to_string();
    for command in ["serve", "gateway", "node"] {
        let told = misused(&ringway(&launcher, &[command, "--config", &broken], &[]));
        assert!(told.contains("checked.toml:2:1: "), "{command}: {told}");
    }
    let nowhere = ringway(&launcher, &["check-config", "/nowhere/ringway.toml"], &[]);
    assert!(misused(&nowhere).contains("/nowhere/ringway.toml"));
    // The environment is part of it.
    let good = keys.0.path().join("good.toml");
    std::fs::write(&good, keys.config()).unwrap();
    let good = good.display().to_string();
    let told = misused(&ringway(&launcher, &["check-config", &good], &[("RINGWAY_GATEWAY__LISEN", "x")]));
    assert!(
        told.contains("environment variable RINGWAY_GATEWAY__LISEN: ")
            && told.contains("RINGWAY_GATEWAY__LISTEN"),
        "{told}"
    );
    // What is right is said to be; what is allowed, but does nothing, is named.
    let output = check(&format!("{tenant}[[classes]]\nrooms = \"a\"\npresence = {{ linger = \"2s\" }}\n"));
    assert!(printed(&output).contains("is right: 1 tenants"), "{output:?}");
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(warned.contains("warning: classes[0].presence: not built yet"), "{warned}");
    let output = ringway(&launcher, &["check-config", &good], &[]);
    assert!(printed(&output).contains("complete for `ringway serve`"), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
