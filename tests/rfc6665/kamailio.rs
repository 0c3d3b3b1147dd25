//! What Kamailio 5.6 breaks of RFC 6665, and why: the run against it fails when this list is not exactly true.

use tests::conformance::Exception;

pub(crate) const BREAKS: &[Exception] = &[
    Exception {
        name: "event_is_compared_by_package_and_id_alone",
        reason: "an Event with a parameter that it does not know is another package to it",
    },
    Exception {
        name: "a_notify_repeats_the_id_of_its_subscription",
        reason: "an Event with an id is another package to it: 489",
    },
    Exception {
        name: "a_refresh_with_another_id_is_no_refresh",
        reason: "an Event with an id is another package to it: 489",
    },
    Exception {
        name: "a_notify_carries_the_whole_current_state",
        reason: "of two publications with the same tuple id, as phones of one make have it, only one is shown",
    },
    Exception {
        name: "a_subscription_without_a_contact_is_a_bad_request",
        reason: "it is refused as if the server had failed: 500",
    },
    Exception { name: "a_type_that_is_not_accepted_is_406", reason: "Accept is not looked at" },
    Exception {
        name: "an_extension_that_is_required_and_unknown_is_named",
        reason: "Require is looked at by no module",
    },
    Exception {
        name: "a_refresh_that_is_refused_leaves_the_subscription",
        reason: "the shortest time is that of new subscriptions only: a refresh of a second is granted",
    },
    Exception {
        name: "a_refresh_with_an_old_cseq_is_refused",
        reason: "it is refused, but with 400 where RFC 3261 section 12.2.2 has 500",
    },
    Exception {
        name: "a_refused_notify_ends_the_subscription",
        reason: "of the answers that end a subscription only 481 does, and a timeout",
    },
    Exception {
        name: "options_lists_the_event_packages",
        reason: "what OPTIONS tells is left to the script; only a 489 lists them",
    },
    Exception { name: "the_answer_to_a_subscribe_lists_the_event_packages", reason: "only a 489 lists them" },
    Exception { name: "a_max_rate_is_echoed_and_kept", reason: "RFC 6446 is not there: 489" },
    Exception { name: "a_refresh_without_a_max_rate_ends_it", reason: "RFC 6446 is not there: 489" },
    Exception { name: "a_min_rate_is_echoed_and_kept", reason: "RFC 6446 is not there: 489" },
    Exception { name: "what_is_no_rate_is_passed_over", reason: "RFC 6446 is not there: 489" },
];
