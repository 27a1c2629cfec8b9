//! To which frame a thread may return: one whose function hands out work and has called what faulted.
//!
//! An event loop calls a function for each request, and goes on when that has returned. So a return to it drops one
//! request and keeps the loop, provided that the thread is not in the middle of the loop's own functions: then nobody
//! knows what they have left half done.

use wildmatch::WildMatch;

use crate::config::Rescue;

/// One frame of a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place<'a> {
    /// The file name of its module.
    pub module: Option<&'a str>,
    /// Its function.
    pub function: Option<&'a str>,
}

/// What a thread is to return.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Return {
    /// The frame that it returns to, counted from the innermost.
    pub frame: usize,
    /// What the call that this frame made returns.
    pub value: i64,
    /// Who asks for it: "the dispatcher of libevent".
    pub by: String,
}

/// A dispatcher that is known.
struct Known {
    name: &'static str,
    modules: &'static [&'static str],
    functions: &'static [&'static str],
    value: i64,
}

/// What calls back for each event, and takes any return for its end. Apache's takes the status of the response.
const KNOWN: [Known; 6] = [
    Known {
        name: "libevent",
        modules: &["libevent-*.so*", "libevent_core-*.so*"],
        functions: &[],
        value: 0,
    },
    Known {
        name: "libuv",
        modules: &["libuv.so*"],
        functions: &[],
        value: 0,
    },
    Known {
        name: "libuv",
        modules: &[],
        functions: &[
            "uv__io_poll",
            "uv__async_io",
            "uv__poll_io",
            "uv__read",
            "uv__run_timers",
            "uv__run_idle",
            "uv__run_check",
            "uv__run_prepare",
            "uv__server_io",
            "uv__work_done",
        ],
        value: 0,
    },
    Known {
        name: "nginx",
        modules: &["nginx"],
        functions: &[
            "ngx_epoll_process_events",
            "ngx_poll_process_events",
            "ngx_event_process_posted",
            "ngx_event_expire_timers",
            "ngx_thread_pool_cycle",
        ],
        value: 0,
    },
    Known {
        name: "APR",
        modules: &["libaprutil-1.so*"],
        functions: &[],
        value: 0,
    },
    Known {
        name: "Apache",
        modules: &["apache2", "httpd"],
        functions: &["ap_run_handler"],
        value: 500,
    },
];

/// The return that a thread with these frames, innermost first, is to make: to the innermost frame that is configured,
/// else to the innermost that is known.
///
/// # Errors
///
/// Why there is none, as a clause of a sentence.
pub fn choose(frames: &[Place<'_>], configured: &[Rescue]) -> Result<Return, String> {
    let asked = configured.iter().enumerate().map(|(number, rescue)| {
        let by = format!("service.rescue #{}", number + 1);
        (by, &rescue.modules[..], &rescue.functions[..], rescue.value)
    });
    let known = KNOWN.iter().map(|known| {
        let by = format!("the dispatcher of {}", known.name);
        (by, known.modules, known.functions, known.value)
    });
    innermost(frames, asked)
        .or_else(|| innermost(frames, known))
        .unwrap_or_else(|| {
            Err(
                "no function on its stack is a dispatcher that is known, or named by service.rescue"
                    .to_owned(),
            )
        })
}

fn innermost<'p, P: AsRef<str> + 'p>(
    frames: &[Place<'_>],
    dispatchers: impl Iterator<Item = (String, &'p [P], &'p [P], i64)>,
) -> Option<Result<Return, String>> {
    let first = dispatchers.filter_map(|(by, modules, functions, value)| {
        let is = |place: &Place<'_>| matches(modules, place.module) && matches(functions, place.function);
        let frame = frames.iter().position(is)?;
        Some(Return { frame, value, by })
    });
    let found = first.min_by_key(|found| found.frame)?;
    Some(match found.frame {
        0 => Err(format!("it faulted inside {}", found.by)),
        _ => Ok(found),
    })
}

fn matches<P: AsRef<str>>(patterns: &[P], found: Option<&str>) -> bool {
    let matches = |pattern: &P| found.is_some_and(|found| WildMatch::new(pattern.as_ref()).matches(found));
    patterns.is_empty() || patterns.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(frames: &[(&'static str, &'static str)]) -> Vec<Place<'static>> {
        let known = |text: &'static str| (!text.is_empty()).then_some(text);
        let place = |&(module, function): &(&'static str, &'static str)| Place {
            module: known(module),
            function: known(function),
        };
        frames.iter().map(place).collect()
    }

    fn rescue(module: &str, function: &str, value: i64) -> Rescue {
        let list = |text: &str| (!text.is_empty()).then(|| text.to_owned()).into_iter().collect();
        Rescue {
            modules: list(module),
            functions: list(function),
            value,
        }
    }

    #[test]
    fn a_callback_of_a_known_loop_returns_to_it() {
        let server = stack(&[
            ("server", ""),
            ("server", ""),
            ("libevent-2.1.so.7", ""),
            ("libevent-2.1.so.7", "event_base_loop"),
            ("server", "main"),
        ]);
        let found = choose(&server, &[]).unwrap();
        assert_eq!((found.frame, found.value), (2, 0));
        assert_eq!(found.by, "the dispatcher of libevent");
        let apache = stack(&[
            ("mod_x.so", "handler"),
            ("apache2", "ap_run_handler"),
            ("apache2", "ap_invoke_handler"),
        ]);
        assert_eq!(choose(&apache, &[]).unwrap().value, 500);
    }

    #[test]
    fn inside_a_loop_nothing_is_returned() {
        let inside = stack(&[("libuv.so.1", "uv__io_poll"), ("libuv.so.1", "uv_run")]);
        assert_eq!(
            choose(&inside, &[]).unwrap_err(),
            "it faulted inside the dispatcher of libuv"
        );
        let called_from_a_callback = stack(&[
            ("libevent-2.1.so.7", "event_add"),
            ("server", ""),
            ("libevent-2.1.so.7", "event_base_loop"),
        ]);
        assert!(choose(&called_from_a_callback, &[]).is_err());
    }

    #[test]
    fn what_is_configured_counts_before_what_is_known() {
        let server = stack(&[
            ("server", "parse"),
            ("libevent-2.1.so.7", ""),
            ("server", "serve"),
            ("libwork.so", "run_one"),
        ]);
        let configured = [rescue("libwork.so*", "", -1), rescue("", "ser?e", 7)];
        let found = choose(&server, &configured).unwrap();
        assert_eq!(
            (found.frame, found.value, found.by.as_str()),
            (2, 7, "service.rescue #2"),
            "the innermost of them"
        );
        let elsewhere = [rescue("libwork.so*", "run_all", -1)];
        assert_eq!(
            choose(&server, &elsewhere).unwrap().frame,
            1,
            "both conditions must hold"
        );
    }

    #[test]
    fn a_frame_of_which_nothing_is_known_is_no_dispatcher() {
        let unknown = stack(&[("server", ""), ("", ""), ("nginx", "")]);
        let why = choose(&unknown, &[rescue("lib*", "", 0), rescue("", "*", 0)]).unwrap_err();
        assert!(why.contains("no function on its stack is a dispatcher"), "{why}");
    }
}
