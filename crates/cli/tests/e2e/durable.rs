//! Durable rooms under faults: what was acknowledged is stored, what is stored reaches every member once and in one order,
//! whatever dies meanwhile. Real processes over real NATS servers; everybody writes down what is heard, the store is read
//! at the end, and all of it is held against what was promised. The tests that are ignored are long (`make e2e`).

mod crowd;
mod figures;
mod race;
mod record;
mod site;
mod storm;
