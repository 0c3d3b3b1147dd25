//! What Kamailio 5.6 breaks of RFC 3903, and why: the run against it fails when this list is not exactly true.

use tests::conformance::Exception;

/// It keeps publications in memory only (`publ_cache` 2), as where it is fastest; with a database it refreshes rightly.
pub(crate) const BREAKS: &[Exception] = &[
    Exception {
        name: "a_refresh_has_no_body_and_changes_no_event_state",
        reason: "in memory only, a refresh loses the document: watchers are sent an empty one",
    },
    Exception {
        name: "publications_of_one_user_have_lives_of_their_own",
        reason: "in memory only, a refresh loses the document",
    },
    Exception {
        name: "record_route_is_ignored_and_the_answer_has_none",
        reason: "Record-Route is copied into every 2xx, whatever the method",
    },
    Exception {
        name: "an_extension_that_is_required_and_unknown_is_named",
        reason: "Require is looked at by no module",
    },
    Exception {
        name: "step_3_more_than_one_tag_is_a_bad_request",
        reason: "a tag that is not of its own form, as a list is not, is answered with 500",
    },
    Exception {
        name: "step_3_a_tag_that_matches_nothing_fails_the_condition",
        reason: "a tag that is not of its own form is answered with 500",
    },
    Exception {
        name: "step_5_an_unsupported_type_is_answered_with_the_type_that_is_read",
        reason: "its 415 has no Accept",
    },
    Exception { name: "step_5_a_body_without_a_type_is_refused", reason: "it reads the body whatever its type" },
    Exception {
        name: "step_5_an_encoding_that_is_not_understood_is_unsupported",
        reason: "Content-Encoding is not looked at",
    },
    Exception {
        name: "step_5_a_body_that_is_too_large_is_refused_and_nothing_else_is_lost",
        reason: "a message beyond its buffer closes the connection",
    },
    Exception {
        name: "options_lists_publish_among_the_methods",
        reason: "what OPTIONS tells is left to the script; no module knows the methods",
    },
    Exception {
        name: "options_lists_the_event_packages",
        reason: "what OPTIONS tells is left to the script; only a 489 lists them",
    },
    Exception {
        name: "over_udp_content_length_may_be_missing",
        reason: "a PUBLISH without Content-Length is a bad request to it, over UDP too",
    },
    Exception {
        name: "the_resource_is_the_same_however_its_uri_is_written",
        reason: "URIs are compared octet by octet",
    },
    Exception {
        name: "a_package_may_have_parameters",
        reason: "an Event with a parameter that it does not know is another package to it",
    },
];
