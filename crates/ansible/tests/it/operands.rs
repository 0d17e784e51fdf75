//! What a playbook passes to programs: a name never becomes an option, and a request goes only where the platform has checked.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    process::Command,
};

use ansible::{AnsibleRunner, Playbooks};

use crate::fixture::runner;

/// Runs a script that can import the collection, and returns what it prints.
fn python(runner: &AnsibleRunner, script: &str, arguments: &[&str]) -> String {
    let collections: PathBuf = Playbooks::locate().unwrap().folder().join("collections");
    let python = runner.program().with_file_name("python3");
    let prefix = "import sys\nsys.path.insert(0, sys.argv[1])\n";
    let output = Command::new(python)
        .args(["-B", "-c", &format!("{prefix}{script}")])
        .arg(collections)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn service_that_is_an_option_is_refused_before_any_task() {
    let Some(runner) = runner() else { return };
    let script = "
from ansible_collections.datacenteros.patch.plugins.plugin_utils.settings import Settings
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
for name in ('pm_services', 'pm_restart_service_names'):
    for value in ('--host=evil', '-H', '', 7):
        try:
            Settings({name: ['nginx', value]})
            print('accepted', value)
        except StepFailed as error:
            assert 'is not the name of a service' in str(error), error
Settings({'pm_services': ['nginx', 'postgresql@15-main']})
print('done')
";
    assert_eq!(python(&runner, script, &[]), "done");
}

#[test]
fn package_managers_get_names_as_operands() {
    let Some(runner) = runner() else { return };
    let script = "
from ansible_collections.datacenteros.patch.plugins.module_utils import dpkg, rpm
commands = []
def run(argv):
    commands.append(argv)
    if argv[0] == 'dpkg-query':
        return 0, '--evil\\t1\\tamd64\\t\\t\\tii \\t\\nbash\\t5\\tamd64\\t\\t\\tii \\t\\n', ''
    if argv[0] == 'rpm':
        return 0, '--evil|%|1-1|x|s|1|v\\nbash|5-1|x86_64|s|1|v\\n'.replace('|%|', '|'), ''
    return 0, '', ''
system = dpkg.Dpkg(run)
command = system.exact({'--evil': '2', 'bash': '6'}, 'tag')
assert command.index('--') < command.index('--evil:amd64=2') and command[-1] == 'bash:amd64=6', command
system.versions_on_offer(['--evil'])
assert commands[-1] == ['apt-cache', 'madison', '--', '--evil'], commands[-1]
system = rpm.Rpm(run)
system.dnf = 'dnf'
command = system.exact({'--evil': '2', 'bash': '6'}, 'tag')
assert [word for word in command if 'evil' in word] == [] and command[-1] == 'bash-6.x86_64', command
print('done')
";
    assert_eq!(python(&runner, script, &[]), "done");
}

#[test]
fn drain_check_connects_only_to_checked_addresses() {
    let Some(runner) = runner() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 1024];
        let length = stream.read(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        String::from_utf8_lossy(&head[..length]).into_owned()
    });
    // The name has no address of its own, so only the checked one can be used.
    let script = "
from ansible_collections.datacenteros.patch.plugins.action.drain import ActionModule
url = 'http://lb.invalid:' + sys.argv[2] + '/drained?host=web-01'
print(ActionModule._check_url({'url': url, 'addresses': ['127.0.0.1']}))
";
    assert_eq!(python(&runner, script, &[&port.to_string()]), "None");
    let head = server.join().unwrap();
    assert!(head.starts_with("GET /drained?host=web-01 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("Host: lb.invalid:{port}\r\n")), "{head}");
}
