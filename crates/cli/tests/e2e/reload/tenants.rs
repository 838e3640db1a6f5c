//! Tenants come and go.

use super::*;
use crate::bare::SOON;
use crate::call::get;

const APP: &str = "rk_app_0123456789abcdef";

fn tenant(name: &str) -> String {
    format!(
        "[tenants.{name}]\nkeys = [{{ alg = \"HS256\", kid = \"k\", file = \"{name}.key\" }}]\n\
         api_keys = [{{ id = \"app\", hash = \"{}\", rights = [\"publish\"], rooms = [\"**\"] }}]\n",
        ringway_auth::hash_api_key(&key_of(name))
    )
    .replace("\"app\"", &format!("\"{name}\""))
}

fn key_of(name: &str) -> String {
    APP.replace("app", name)
}

/// Where the room of a token's tenant lives, or why that isn't said.
fn located(gateway: SocketAddr, bearer: &str) -> Result<Value, (u16, String)> {
    let answer = get("/v1/locate?room=r").by(bearer).send(gateway);
    match answer.status {
        200 => Ok(serde_json::from_str(&answer.body).unwrap()),
        status => Err((status, code_of(&answer))),
    }
}

#[tokio::test]
async fn a_tenant_comes_and_another_goes() {
    let keys = [("acme.key", &*secret("acme")), ("globex.key", &*secret("globex"))];
    let site = Site::start(&tenant("acme"), &keys);
    let (acme, globex) = (token("acme", "k", &secret("acme")), token("globex", "k", &secret("globex")));
    let unknown = Err((404, "unknown_tenant".to_owned()));
    let is_there = |token: &str| located(site.at(), token).map(|_| ());
    assert_eq!((is_there(&acme), is_there(&globex)), (Ok(()), unknown.clone()));
    assert_eq!(enters(site.at(), &globex, None), (404, "unknown_tenant".to_owned()));
    let by_key = located(site.at(), &key_of("acme")).err();
    assert_ne!(by_key, Some((401, "token_invalid".to_owned())), "a server of acme is known");

    site.takes_over(&format!("{}{}", tenant("acme"), tenant("globex")));
    assert_eq!((is_there(&acme), is_there(&globex)), (Ok(()), Ok(())));

    site.takes_over(&tenant("globex"));
    assert_eq!((is_there(&acme), is_there(&globex)), (unknown, Ok(())));
    assert_eq!(located(site.at(), &key_of("acme")), Err((401, "token_invalid".to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_of_a_tenant_that_came_enters_and_of_one_that_went_is_closed() {
    let keys = [("acme.key", &*secret("acme")), ("globex.key", &*secret("globex"))];
    let site = Site::start(&tenant("acme"), &keys);
    let globex = token("globex", "k", &secret("globex"));
    let mut of_acme = Standing::by(site.at(), &token("acme", "k", &secret("acme"))).await;
    site.takes_over(&format!("{}{}", tenant("acme"), tenant("globex")));
    until("the node knows it too", SOON, || (enters(site.at(), &globex, None).0 == 101).then_some(()));
    let mut of_globex = Standing::by(site.at(), &globex).await;
    site.takes_over(&tenant("globex"));
    assert_eq!(of_acme.closed().await.code.0, 4404);
    of_globex.stands().await;
}

#[tokio::test]
async fn three_hundred_tenants_in_files_of_their_own_are_read_again_one_by_one() {
    let key = secret("all");
    let text = |name: &str, rooms: usize| {
        let own = "keys = [{ alg = \"HS256\", kid = \"k\", file = \"../all.key\" }]";
        (format!("tenants/{name}.toml"), format!("{own}\nlimits = {{ rooms = {rooms} }}\n"))
    };
    let files: Vec<(String, String)> = (0..300).map(|n| text(&format!("t{n}"), n + 1)).collect();
    let mut all: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    all.push(("all.key", &key));
    let site = Site::start("tenants_dir = \"tenants\"\n", &all);
    let is_there = |name: &str| located(site.at(), &token(name, "k", &key)).is_ok();
    let first = site.in_force();
    assert!(is_there("t0") && is_there("t299") && !is_there("t300"));

    // One is changed, one comes, one goes: without a signal.
    let (changed, came) = (text("t7", 1_000), text("t300", 1));
    site.put(&changed.0, &changed.1);
    site.put(&came.0, &came.1);
    std::fs::remove_file(site.directory().join("tenants/t0.toml")).unwrap();
    assert_ne!(site.in_force(), first);
    assert!(!is_there("t0") && is_there("t299") && is_there("t300"));

    // A wrong one among them is named, and changes nothing.
    site.put("tenants/t8.toml", "limits = { room = 1 }\n");
    let wrong = until("it is refused", TAKEN, || {
        let told = problems(&record(&site.serve));
        told.contains("t8.toml").then_some(told)
    });
    assert!(wrong.contains("t8.toml:1:12: tenants.t8.limits.room: unknown key"), "{wrong}");
    assert!(is_there("t8") && is_there("t300"));
}
