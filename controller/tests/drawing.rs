//! Pictures of a fabric, as they are shown.

use selvedge_controller::draw;
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::model::Model;

const FABRIC: &str = r#"apiVersion: selvedge/v1
kind: Fabric
metadata: {name: pictured}
spec:
  defaultAction: deny
  nodes:
    - {name: spine1, role: switch, agent: none, ports: [{name: swp1, role: fabric}, {name: swp2, role: fabric}]}
    - {name: spine2, role: switch, agent: none, ports: [{name: swp1, role: fabric}, {name: swp2, role: fabric}]}
    - name: leaf1
      role: switch
      agent: none
      ports:
        - {name: swp1, role: fabric}
        - {name: swp9, role: fabric}
        - {name: swp51, role: fabric}
        - {name: swp52, role: fabric}
    - name: leaf2
      role: switch
      ports:
        - {name: swp1, role: fabric}
        - {name: swp50, role: fabric}
        - {name: swp51, role: fabric}
        - {name: swp52, role: fabric}
    - {name: host1, role: host, ports: [{name: eth0, role: uplink}, {name: w1, role: workload}, {name: w2, role: workload}]}
    - {name: dpu1, role: dpu, ports: [{name: p0, role: uplink}, {name: p1, role: uplink}, {name: pf0hpf, role: workload}]}
  links:
    - endpoints: ["leaf1:swp51", "spine1:swp1"]
    - endpoints: ["leaf1:swp52", "spine2:swp1"]
    - endpoints: ["leaf2:swp51", "spine1:swp2"]
    - endpoints: ["leaf2:swp52", "spine2:swp2"]
    - endpoints: ["leaf1:swp1", "host1:eth0"]
    - endpoints: ["leaf2:swp1", "dpu1:p0"]
    - endpoints: ["leaf2:swp50", "dpu1:p1"]
  externals:
    - name: internet
      attachment: {node: leaf1, port: swp9}
      addresses: [203.0.113.10]
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: web1}
spec: {labels: {}, addresses: [10.1.0.1], attachment: {node: host1, port: w1}}
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: db1}
spec: {labels: {}, addresses: [10.1.0.2], attachment: {node: dpu1, port: pf0hpf}}
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: db2}
spec: {labels: {}, addresses: [10.1.0.3], attachment: {node: dpu1, port: pf0hpf}}
"#;

fn model(text: &str) -> Model {
    let loaded = load(&[SourceFile { name: "fabric.yaml".into(), text: text.into() }]);
    loaded.model.unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics))
}

#[test]
fn a_fabric_is_drawn_with_every_node_workload_and_wire() {
    insta::assert_snapshot!("text", draw::text(&model(FABRIC)));
}

#[test]
fn a_fabric_is_drawn_in_other_languages() {
    let model = model(FABRIC);
    insta::assert_snapshot!("dot", draw::dot(&model));
    insta::assert_snapshot!("mermaid", draw::mermaid(&model));
    insta::assert_snapshot!("svg", draw::svg(&model));
}

#[test]
fn wires_of_a_text_never_end_in_nothing() {
    let text = draw::text(&model(FABRIC));
    // Half lines are what a broken wire would leave.
    assert!(!text.contains(['╵', '╷', '╴', '╶']), "{text}");
    let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
    let at = |y: usize, x: usize| lines.get(y).and_then(|line| line.get(x)).copied().unwrap_or(' ');
    let mut checked = 0;
    for (y, line) in lines.iter().enumerate() {
        for (x, character) in line.iter().enumerate() {
            if "│┌┐├┤┬┼".contains(*character) && y + 1 < lines.len() {
                assert!("│└┘├┤┴┼".contains(at(y + 1, x)), "below {x},{y} in\n{text}");
                checked += 1;
            }
        }
    }
    assert!(checked > 50, "only {checked} places were looked at");
}

#[test]
fn a_wire_between_nodes_of_one_rank_is_told_in_words() {
    let ring = FABRIC
        .replace(
            "- endpoints: [\"leaf1:swp51\", \"spine1:swp1\"]",
            "- endpoints: [\"leaf1:swp51\", \"leaf2:swp51\"]",
        )
        .replace("    - endpoints: [\"leaf2:swp51\", \"spine1:swp2\"]\n", "");
    let text = draw::text(&model(&ring));
    assert!(text.ends_with("\nAlso wired:\n  leaf1:swp51 ─ leaf2:swp51\n"), "{text}");
}
