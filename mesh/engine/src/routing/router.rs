//! The face of routing.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cairn_bundle::NodeId;
use cairn_link::RouteClaim;

use crate::Instant;
use crate::routing::direct::Direct;
use crate::routing::encounters::Encounters;
use crate::routing::explain::Explanation;
use crate::routing::limits::RoutingLimits;
use crate::routing::plan::ContactPlan;
use crate::routing::plan_route::PlanRoutes;
use crate::routing::properties::LinkProperties;
use crate::routing::question::{Decision, Question};
use crate::routing::snapshot::{self, SnapshotError};
use crate::routing::strategy::{Half, Moment, half};
use crate::routing::table::Table;

/// Decides, for each bundle and neighbour, whether it is given now.
///
/// It is told of links, plans and claims, and asked at the last moment. Nothing in it is durable: the host keeps
/// [`Router::snapshot`] now and then, and its own copy of the plan.
#[derive(Debug, Clone)]
pub struct Router {
    me: NodeId,
    table: Table,
    /// What the links that are up can do, by neighbour; of several links of one neighbour, the latest.
    links: BTreeMap<Half, LinkProperties>,
}

impl Router {
    /// A router that knows nothing yet.
    #[must_use]
    pub fn new(me: NodeId, limits: RoutingLimits) -> Self {
        let table = Table {
            me,
            limits,
            direct: Direct,
            plan: PlanRoutes::new(half(&me), ContactPlan::default()),
            encounters: Encounters::new(half(&me), limits),
        };
        Self { me, table, links: BTreeMap::new() }
    }

    /// A link to a neighbour came up. One neighbour may have several.
    pub fn link_up(&mut self, now: Instant, wall_s: Option<u64>, peer: NodeId, properties: &LinkProperties) {
        self.links.insert(half(&peer), *properties);
        self.table.encounters.link_up(Moment { now, wall_s }, peer);
    }

    /// A link to a neighbour went down.
    pub fn link_down(&mut self, now: Instant, wall_s: Option<u64>, peer: &NodeId) {
        self.table.encounters.link_down(Moment { now, wall_s }, peer);
        if !self.table.encounters.is_up(&half(peer)) {
            self.links.remove(&half(peer));
        }
    }

    /// Replaces the contact plan.
    pub fn set_plan(&mut self, plan: ContactPlan) {
        self.table.plan = PlanRoutes::new(half(&self.me), plan);
    }

    /// A neighbour said what it reaches.
    pub fn heard_claims(&mut self, now: Instant, peer: &NodeId, claims: &[RouteClaim]) {
        self.table.encounters.heard(now, peer, claims);
    }

    /// A neighbour brought a bundle whose source is another node: proof that it carries for others.
    ///
    /// Until a neighbour has, no last copy is entrusted to it on its word alone, and nobody is told of routes through
    /// it. Bundles are to be counted once each, after their source's signature was checked.
    pub fn brought(&mut self, peer: &NodeId) {
        self.table.encounters.brought(peer);
    }

    /// What this node reaches, for any neighbour: the `max` nearest destinations, in order of their names.
    #[must_use]
    pub fn own_claims(&self, now: Instant, wall_s: Option<u64>, max: usize) -> Vec<RouteClaim> {
        self.claims(Moment { now, wall_s }, None, max)
    }

    /// What this node reaches without the help of `peer`: better for telling `peer` than [`Router::own_claims`],
    /// because a route through `peer` itself is no news to it.
    #[must_use]
    pub fn claims_for(
        &self,
        now: Instant,
        wall_s: Option<u64>,
        peer: &NodeId,
        max: usize,
    ) -> Vec<RouteClaim> {
        self.claims(Moment { now, wall_s }, Some(&half(peer)), max)
    }

    /// How many nodes this node has met or heard of: a measure of the network, by which the host chooses how many
    /// copies a new bundle starts with. A seventh of it, between 4 and 16, did well in the trials.
    #[must_use]
    pub fn known_nodes(&self) -> usize {
        self.table.encounters.known_nodes()
    }

    /// Moves when claims have changed so much that neighbours with a link should be told anew.
    #[must_use]
    pub const fn claims_revision(&self) -> u64 {
        self.table.encounters.revision
    }

    /// Whether `peer` is offered the bundle now.
    #[must_use]
    pub fn decide(&self, now: Instant, wall_s: Option<u64>, peer: &NodeId, question: &Question) -> Decision {
        let transfer_ms = self.links.get(&half(peer)).map_or(0, |link| link.transfer_ms(question.bytes));
        self.table.decide(Moment { now, wall_s }, peer, transfer_ms, question)
    }

    /// What each strategy forecasts and what is decided for each neighbour that is linked.
    #[must_use]
    pub fn explain(&self, now: Instant, wall_s: Option<u64>, question: &Question) -> Explanation {
        Explanation::new(&self.table, &self.links, Moment { now, wall_s }, question)
    }

    /// What was learned of contacts, to be kept over a restart.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        snapshot::encode(&self.table.encounters)
    }

    /// Takes back what was learned; node time must have continued since.
    ///
    /// # Errors
    /// [`SnapshotError`] if the bytes are damaged or of another version; then nothing has changed.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.table.encounters = snapshot::decode(bytes, half(&self.me), self.table.limits)?;
        Ok(())
    }

    fn claims(&self, moment: Moment, except: Option<&Half>, max: usize) -> Vec<RouteClaim> {
        let mut reachable = self.table.encounters.reachable(moment, except);
        for (node, delay_ms) in self.table.plan.reachable(moment, except) {
            if Some(&node) != except && node != half(&self.me) {
                let delay_s = delay_ms.div_ceil(1_000);
                reachable.entry(node).and_modify(|known| *known = delay_s.min(*known)).or_insert(delay_s);
            }
        }
        let claims = reachable.into_iter().filter_map(|(node, delay_s)| {
            let delay_s = u32::try_from(delay_s).ok().filter(|&delay_s| delay_s < u32::MAX)?;
            Some(RouteClaim { node, delay_s })
        });
        let mut claims: Vec<RouteClaim> = claims.collect();
        if claims.len() > max {
            claims.select_nth_unstable_by_key(max, |claim| (claim.delay_s, claim.node));
            claims.truncate(max);
            claims.sort_unstable_by_key(|claim| claim.node);
        }
        claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::question::Why;
    use alloc::string::ToString;
    use cairn_bundle::{Class, Identity};

    const HOUR: u64 = 3_600;

    fn id(seed: u8) -> NodeId {
        Identity::from_seed(&[seed; 32]).node_id()
    }

    fn at(s: u64) -> Instant {
        Instant::from_ms(s * 1_000)
    }

    fn question(to: u8, copies: u8) -> Question {
        Question {
            destination: Some(id(to)),
            source: Some(id(0)),
            class: Class::Normal,
            bytes: 1_000,
            remaining_ms: 48 * HOUR * 1_000,
            held_ms: 0,
            copies,
            crowd: 0,
        }
    }

    fn claim(to: u8, delay_s: u64) -> RouteClaim {
        RouteClaim { node: half(&id(to)), delay_s: u32::try_from(delay_s).unwrap() }
    }

    /// Node 0, linked to 1 (a carrier, ten minutes from node 9) and 2 (who knows nobody), having met 3 to 6 before.
    fn router() -> Router {
        let mut router = Router::new(id(0), RoutingLimits::default());
        for peer in 3..7 {
            router.link_up(at(0), None, id(peer), &LinkProperties::default());
            router.link_down(at(60), None, &id(peer));
        }
        for peer in 1..3 {
            router.link_up(at(5 * HOUR), None, id(peer), &LinkProperties::default());
        }
        router.brought(&id(1));
        router.heard_claims(at(5 * HOUR), &id(1), &[claim(9, 600)]);
        router
    }

    fn why(router: &Router, peer: u8, question: &Question) -> Why {
        router.decide(at(5 * HOUR), None, &id(peer), question).why()
    }

    #[test]
    fn every_reason_has_its_case() {
        let router = router();
        let known = question(9, 8);
        assert_eq!(why(&router, 1, &known), Why::BestRoute);
        assert_eq!(why(&router, 2, &known), Why::SoonerHere, "node 1 is linked as well");
        assert_eq!(why(&router, 2, &Question { source: Some(id(2)), ..known }), Why::Source);
        assert_eq!(why(&router, 1, &Question { remaining_ms: 0, ..known }), Why::Expired);
        assert_eq!(why(&router, 1, &Question { copies: 0, ..known }), Why::Passive);
        assert_eq!(why(&router, 1, &Question { class: Class::Alert, copies: 0, ..known }), Why::Alert);
        let large = Question { class: Class::Alert, copies: 0, bytes: 1 << 20, ..known };
        assert_eq!(why(&router, 1, &large), Why::Passive);
        assert_eq!(why(&router, 1, &question(1, 0)), Why::Destination);
        let unknown = question(8, 8);
        assert_eq!(why(&router, 1, &unknown), Why::Spray);
        assert_eq!(why(&router, 1, &Question { copies: 1, ..unknown }), Why::LastCopy);
        assert_eq!(why(&router, 1, &Question { class: Class::Bulk, ..unknown }), Why::Bulk);
        assert_eq!(why(&router, 1, &Question { destination: None, ..unknown }), Why::Spray);
        assert_eq!(why(&router, 1, &Question { destination: None, copies: 1, ..unknown }), Why::LastCopy);
    }

    #[test]
    fn the_word_of_a_neighbour_that_never_carried_moves_no_last_copy() {
        let mut router = router();
        router.heard_claims(at(5 * HOUR), &id(2), &[claim(9, 0), claim(8, 0)]);
        assert_eq!(why(&router, 2, &question(8, 1)), Why::Unproven);
        assert_eq!(why(&router, 2, &question(8, 4)), Why::Sooner, "some of several copies are risked");
        let old = Question { held_ms: 40 * HOUR * 1_000, ..question(8, 1) };
        assert_eq!(why(&router, 2, &old), Why::Sooner, "there is nothing left to lose");
        assert!(router.own_claims(at(5 * HOUR), None, 100).iter().all(|told| told.node != half(&id(8))));
        router.brought(&id(2));
        assert_eq!(why(&router, 2, &question(8, 1)), Why::BestRoute);
    }

    #[test]
    fn a_last_copy_that_nobody_knows_a_way_for_takes_the_bus_but_does_not_leave_it_for_nowhere() {
        let mut router = router();
        assert_eq!(why(&router, 2, &question(8, 1)), Why::LastCopy);
        let names: alloc::string::String =
            (0..4).map(|seed| alloc::format!("node n{seed} {}\n", id(seed))).collect();
        let stops = "contact n2 n0 +5h +1h\ncontact n2 n3 +9h +1h\n";
        router.set_plan(ContactPlan::parse(&alloc::format!("{names}{stops}")).unwrap());
        assert_eq!(why(&router, 2, &question(8, 1)), Why::Wander);
        let round = "contact n0 n1 +5h +1h\ncontact n0 n2 +5h +1h\n";
        router.set_plan(ContactPlan::parse(&alloc::format!("{names}{round}")).unwrap());
        assert_eq!(why(&router, 2, &question(8, 1)), Why::LastCopy);
    }

    #[test]
    fn who_always_meets_the_same_few_passes_a_last_copy_on_but_not_its_own() {
        let mut router = Router::new(id(0), RoutingLimits::default());
        router.link_up(at(0), None, id(1), &LinkProperties::default());
        assert_eq!(why(&router, 1, &question(9, 1)), Why::LastCopy);
        assert_eq!(why(&router, 1, &Question { source: Some(id(7)), ..question(9, 1) }), Why::Wander);
    }

    #[test]
    fn tokens_given_never_exceed_tokens_held() {
        let router = router();
        for copies in 0..=u8::MAX {
            for (to, peer) in [(9, 1), (9, 2), (8, 1), (1, 1)] {
                if let Decision::Give { copies: given, .. } =
                    router.decide(at(5 * HOUR), None, &id(peer), &question(to, copies))
                {
                    assert!(given <= copies);
                }
            }
        }
    }

    #[test]
    fn a_neighbour_is_told_no_route_through_itself_and_the_nearest_first() {
        let router = router();
        let now = at(5 * HOUR);
        let all = router.own_claims(now, None, 100);
        assert_eq!(router.known_nodes(), all.len());
        // Node 1 is linked for the first time: it is a way for now, not in general.
        assert!(all.contains(&claim(9, 3 * 24 * HOUR + 601)) && all.is_sorted_by_key(|told| told.node));
        let for_one = router.claims_for(now, None, &id(1), 100);
        assert!(for_one.iter().all(|told| ![half(&id(1)), half(&id(9))].contains(&told.node)));
        let nearest = router.own_claims(now, None, 2);
        assert_eq!(nearest.iter().map(|told| told.delay_s).collect::<Vec<_>>(), [0, 0]);
        assert!(nearest.is_sorted_by_key(|told| told.node));
    }

    #[test]
    fn limits_hold_whatever_neighbours_claim() {
        let limits = RoutingLimits {
            peers_max: 5,
            destinations_max: 20,
            claims_per_peer_max: 12,
            ..RoutingLimits::default()
        };
        let mut router = Router::new(id(0), limits);
        for round in 0..200_u8 {
            let peer = id(1 + round % 9);
            router.link_up(at(u64::from(round) * 100), None, peer, &LinkProperties::default());
            let claims: Vec<RouteClaim> = (0..50_u8)
                .map(|node| RouteClaim { node: [node.wrapping_mul(round); 16], delay_s: 5 })
                .collect();
            router.heard_claims(at(u64::from(round) * 100), &peer, &claims);
            router.link_down(at(u64::from(round) * 100 + 50), None, &peer);
            let encounters = &router.table.encounters;
            assert!(encounters.peers() <= 5 && encounters.claims.len() <= 20);
            assert!(encounters.known.iter().flatten().all(|known| known.claims <= 12));
            let counted: usize = encounters.known.iter().flatten().map(|known| known.claims).sum();
            assert_eq!(counted, encounters.claims.values().map(Vec::len).sum::<usize>());
        }
    }

    #[test]
    fn claims_are_replaced_by_new_ones_and_forgotten_with_age() {
        let mut router = router();
        router.heard_claims(at(6 * HOUR), &id(1), &[claim(8, 600), claim(0, 1), claim(1, 1)]);
        assert_eq!(router.table.encounters.claims.len(), 1);
        router.link_down(at(6 * HOUR), None, &id(1));
        let waits = |s| {
            router
                .explain(at(s), None, &question(8, 1))
                .waiting
                .last()
                .unwrap()
                .forecast
                .map(|forecast| forecast.key())
        };
        assert!(waits(7 * HOUR) > waits(6 * HOUR));
        assert_eq!(waits(6 * HOUR + RoutingLimits::default().claim_age_s_max + 1), None);
    }

    #[test]
    fn a_claim_ages_while_its_speaker_is_away_and_whoever_repeats_it_repeats_its_age() {
        let mut router = router();
        let told = |router: &Router, s| {
            let claims = router.claims_for(at(s), None, &id(2), 100);
            claims.into_iter().find(|told| told.node == half(&id(9))).map(|told| u64::from(told.delay_s))
        };
        let linked = [told(&router, 6 * HOUR), told(&router, 7 * HOUR)].map(Option::unwrap);
        assert!(linked[1] <= linked[0], "what a linked neighbour says holds until it says something else");
        router.link_down(at(7 * HOUR), None, &id(1));
        let away = [told(&router, 7 * HOUR), told(&router, 17 * HOUR)].map(Option::unwrap);
        assert!(away[1] >= away[0] + 10 * HOUR, "{away:?}");
    }

    #[test]
    fn who_is_sure_to_meet_the_destination_gives_it_to_nobody_else() {
        let mut router = router();
        for day in 1..4 {
            router.link_up(at(day * 2 * HOUR), None, id(7), &LinkProperties::default());
            router.link_down(at(day * 2 * HOUR + 60), None, &id(7));
        }
        router.heard_claims(at(5 * HOUR), &id(1), &[claim(7, 60)]);
        assert_eq!(why(&router, 1, &question(7, 8)), Why::WillMeet);
        let urgent = Question { remaining_ms: HOUR * 1_000, ..question(7, 8) };
        assert_eq!(why(&router, 1, &urgent), Why::Sooner);
    }

    #[test]
    fn nothing_is_sprayed_while_a_way_is_likely_to_be_in_time() {
        let mut router = router();
        for visit in 2..5 {
            router.link_up(at(visit * HOUR), None, id(3), &LinkProperties::default());
            router.link_down(at(visit * HOUR + 60), None, &id(3));
        }
        router.brought(&id(3));
        router.heard_claims(at(5 * HOUR), &id(3), &[claim(8, 40 * HOUR)]);
        assert_eq!(why(&router, 2, &question(8, 8)), Why::SoonerHere);
        let late = Question { remaining_ms: 10 * HOUR * 1_000, ..question(8, 8) };
        assert_eq!(why(&router, 2, &late), Why::Spray);
    }

    #[test]
    fn a_crowd_that_is_linked_now_does_not_drive_out_who_comes_again() {
        let mut router = Router::new(id(0), RoutingLimits::default());
        for visit in (0..=96).step_by(24) {
            router.link_up(at(visit * HOUR), None, id(1), &LinkProperties::default());
            router.heard_claims(at(visit * HOUR), &id(1), &[claim(9, 8 * HOUR)]);
            router.link_down(at(visit * HOUR + 60), None, &id(1));
        }
        for peer in 10..30 {
            router.link_up(at(100 * HOUR), None, id(peer), &LinkProperties::default());
            router.heard_claims(at(100 * HOUR), &id(peer), &[claim(9, HOUR * u64::from(peer))]);
        }
        let ways = &router.table.encounters.claims[&half(&id(9))];
        assert_eq!(ways.len(), crate::routing::encounters::VIAS_MAX);
        let slot = router.table.encounters.slots[&half(&id(1))];
        assert!(ways.iter().any(|via| via.slot == slot), "{ways:?}");
    }

    #[test]
    fn a_claim_counts_from_the_meeting_that_the_plan_names() {
        let mut router = router();
        router.heard_claims(at(5 * HOUR), &id(1), &[claim(8, 600)]);
        router.link_down(at(5 * HOUR), None, &id(1));
        let waits = |router: &Router| {
            let explained = router.explain(at(6 * HOUR), None, &question(8, 1));
            explained.waiting.last().unwrap().forecast.unwrap().delay_ms / 1_000
        };
        assert!(waits(&router) > 5 * HOUR);
        let text = alloc::format!("node a {}\nnode b {}\ncontact a b +7h +1h every=week\n", id(0), id(1));
        router.set_plan(ContactPlan::parse(&text).unwrap());
        assert_eq!(waits(&router), HOUR + 1 + 600 + HOUR, "an hour to the meeting, and an hour of age");
    }

    #[test]
    fn an_explanation_says_where_it_goes_and_why() {
        let router = router();
        let explained = router.explain(at(5 * HOUR), None, &question(9, 8));
        assert_eq!(explained.hops.len(), 2);
        let text = explained.to_string();
        assert!(text.starts_with(&alloc::format!("It goes to {} now", id(1).short())), "{text}");
        assert!(text.contains("encounters in 10 min by"), "{text}");
        let lonely = Router::new(id(0), RoutingLimits::default()).explain(at(0), None, &question(9, 8));
        assert_eq!(lonely.sentence(), "It is held: no neighbour is linked, and no way is known.");
    }

    /// `cargo test --release -p cairn-engine decisions -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    fn decisions_a_second() {
        extern crate std;
        let mut router = Router::new(id(0), RoutingLimits::default());
        for peer in 1..201 {
            router.link_up(at(u64::from(peer)), Some(9_000_000), id(peer), &LinkProperties::default());
            router.brought(&id(peer));
            let claims: Vec<RouteClaim> = (0..500_u64)
                .map(|node| (node * 7 + u64::from(peer) * 13) % 1_000)
                .map(|node| RouteClaim {
                    node: *Identity::from_seed(&[u8::try_from(node % 251).unwrap(); 32])
                        .node_id()
                        .as_bytes()
                        .first_chunk()
                        .unwrap(),
                    delay_s: 900 + u32::from(peer),
                })
                .collect();
            router.heard_claims(at(u64::from(peer)), &id(peer), &claims[..if peer == 1 { 500 } else { 20 }]);
            if peer > 4 {
                router.link_down(at(u64::from(peer) + 60), Some(9_000_060), &id(peer));
            }
        }
        let questions: Vec<Question> = (0..250).map(|to| question(to, 8)).collect();
        // A thousand destinations: those above, and names that nobody asks for.
        for node in 0..750_u32 {
            let mut name = [0; 16];
            name[..4].copy_from_slice(&node.to_be_bytes());
            router
                .table
                .encounters
                .claims
                .insert(name, router.table.encounters.claims.values().next().unwrap().clone());
        }
        let (rounds, mut gives, peer) = (1_000_u32, 0_u32, id(1));
        #[expect(clippy::disallowed_methods, reason = "a measurement")]
        let start = std::time::Instant::now();
        for round in 0..rounds {
            for question in &questions {
                let decision =
                    router.decide(at(5 * HOUR + u64::from(round)), Some(9_020_000), &peer, question);
                gives += u32::from(matches!(decision, Decision::Give { .. }));
            }
        }
        let each = start.elapsed() / (rounds * 250);
        std::println!(
            "{each:?} a decision, {gives} gives, {} destinations",
            router.table.encounters.claims.len()
        );
        #[expect(clippy::disallowed_methods, reason = "a measurement")]
        let start = std::time::Instant::now();
        for _ in 0..100 {
            assert!(router.claims_for(at(5 * HOUR), Some(9_020_000), &peer, 256).len() > 200);
        }
        std::println!("{:?} for all claims", start.elapsed() / 100);
    }
}
