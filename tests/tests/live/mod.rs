//! A live fabric under traffic: a lab, a controller, agents, flows between every kind of place, and a record of every packet
//! of theirs that left a place or reached one, by which all is judged afterwards.

pub(crate) mod capture;
pub(crate) mod fabric;
pub(crate) mod flows;
pub(crate) mod lab;
pub(crate) mod ledger;
pub(crate) mod packet;
pub(crate) mod sets;
pub(crate) mod timeline;
pub(crate) mod traffic;
